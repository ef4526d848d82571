// Golden metrics out of a workload's /metrics page: what a Prometheus query would compute.

/** Samples of a page in Prometheus text format: `{ name, labels, value }`. */
export function parseMetrics(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!match || line.startsWith("#")) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
    }
    samples.push({ name: match[1], labels, value: Number(match[3]) });
  }
  return samples;
}

/** Requests, success before and after retries, and latency quantiles of each authority that a workload calls. */
export function outboundEdges(samples) {
  const edges = new Map();
  const edge = (authority) => {
    if (!edges.has(authority))
      edges.set(authority, { requests: 0, ok: 0, attempts: 0, attemptsOk: 0, buckets: new Map() });
    return edges.get(authority);
  };
  for (const { name, labels, value } of samples) {
    const { server_address: authority, selvage_classification: classification } = labels;
    if (name === "http_client_request_duration_seconds_count") {
      edge(authority).requests += value;
      if (classification === "success") edge(authority).ok += value;
    } else if (name === "http_client_request_duration_seconds_bucket") {
      const { buckets } = edge(authority);
      buckets.set(labels.le, (buckets.get(labels.le) ?? 0) + value);
    } else if (name === "selvage_outbound_attempts_total") {
      edge(authority).attempts += value;
      if (classification === "success") edge(authority).attemptsOk += value;
    }
  }
  return edges;
}

/** Peers that a workload has served, with how often. */
export function inboundPeers(samples) {
  const peers = new Map();
  for (const { name, labels, value } of samples) {
    if (name !== "http_server_request_duration_seconds_count") continue;
    const peer = labels.selvage_peer;
    peers.set(peer, (peers.get(peer) ?? 0) + value);
  }
  return peers;
}

/** A quantile in milliseconds, interpolated within its bucket as Prometheus does. */
export function quantileMs(buckets, q) {
  const rows = [...buckets]
    .map(([le, count]) => ({ le: le === "+Inf" ? Infinity : Number(le), count }))
    .sort((a, b) => a.le - b.le);
  const rank = q * (rows.at(-1)?.count ?? 0);
  let below = { le: 0, count: 0 };
  for (const row of rows) {
    if (row.count >= rank && row.count > 0) {
      if (row.le === Infinity) return below.le * 1000;
      return (below.le + ((row.le - below.le) * (rank - below.count)) / (row.count - below.count || 1)) * 1000;
    }
    below = row;
  }
  return 0;
}
