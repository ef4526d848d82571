import { durationBoundsSeconds, Histogram } from "./histogram.js";
import type { MeshMetrics } from "./mesh-metrics.js";
import type { MetricFamily } from "./registry.js";
import type { CounterSeries, HistogramSeries } from "./series.js";

/** How one edge of the mesh does. Numbers are totals since the series began; rates are for those who compare two readings. */
export interface GoldenMetrics {
  readonly direction: "inbound" | "outbound";
  /** Outbound: the authority. Inbound: what this workload is called. */
  readonly authority: string;
  /** The identity at the other end, `""` when it is not known. */
  readonly peer: string;
  /** Requests of applications, those not counted included. */
  readonly requests: number;
  /** Share of successes among those that count, after retries; 1 when there are none. */
  readonly successRate: number;
  /** The same for single attempts: what it would be without retries. `null` inbound, where nothing is retried. */
  readonly attemptSuccessRate: number | null;
  /** Milliseconds; NaN without requests. */
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

interface Edge {
  readonly authority: string;
  readonly peer: string;
  success: number;
  failure: number;
  requests: number;
  readonly histogram: Histogram;
}

/** Golden metrics of every edge, read from the series: what `selvage stat` shows. */
export function goldenMetrics(metrics: MeshMetrics): readonly GoldenMetrics[] {
  const attempts = attemptRates(metrics.attempts);
  return [
    ...edges(metrics.clientDuration).map((edge) => golden("outbound", edge, attempts.get(edge.authority) ?? null)),
    ...edges(metrics.serverDuration).map((edge) => golden("inbound", edge, null)),
  ];
}

function golden(direction: "inbound" | "outbound", edge: Edge, attemptSuccessRate: number | null): GoldenMetrics {
  const { authority, peer, requests, histogram } = edge;
  return {
    direction,
    authority,
    peer,
    requests,
    successRate: rate(edge.success, edge.failure),
    attemptSuccessRate,
    p50Ms: histogram.quantile(0.5) * 1000,
    p95Ms: histogram.quantile(0.95) * 1000,
    p99Ms: histogram.quantile(0.99) * 1000,
  };
}

function edges(family: MetricFamily<HistogramSeries>): Edge[] {
  const { labels } = family.definition;
  const authorityAt = labels.indexOf("server_address");
  const peerAt = labels.indexOf("selvage_peer");
  const classificationAt = labels.indexOf("selvage_classification");
  const edges = new Map<string, Edge>();
  for (const series of family.series()) {
    const { count } = series.histogram;
    if (count === 0) continue;
    const authority = series.labels[authorityAt]!;
    const peer = series.labels[peerAt]!;
    const key = `${authority}\u0000${peer}`;
    let edge = edges.get(key);
    if (edge === undefined) {
      edge = { authority, peer, success: 0, failure: 0, requests: 0, histogram: new Histogram(durationBoundsSeconds) };
      edges.set(key, edge);
    }
    const classification = series.labels[classificationAt];
    if (classification === "success") edge.success += count;
    else if (classification === "failure") edge.failure += count;
    edge.requests += count;
    edge.histogram.add(series.histogram);
  }
  return [...edges.values()];
}

function attemptRates(family: MetricFamily<CounterSeries>): ReadonlyMap<string, number> {
  const successes = new Map<string, number>();
  const failures = new Map<string, number>();
  for (const series of family.series()) {
    const [authority = "", classification = ""] = series.labels;
    if (classification === "success") successes.set(authority, series.value);
    else if (classification === "failure") failures.set(authority, series.value);
  }
  const rates = new Map<string, number>();
  for (const authority of new Set([...successes.keys(), ...failures.keys()])) {
    rates.set(authority, rate(successes.get(authority) ?? 0, failures.get(authority) ?? 0));
  }
  return rates;
}

function rate(success: number, failure: number): number {
  return success + failure === 0 ? 1 : success / (success + failure);
}
