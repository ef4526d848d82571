// wrk: a closed loop over HTTP/1.1, in whole seconds.
import { PinnedProcess } from "./pinned-process.mjs";

export async function wrk(url, { seconds, connections = 50, host }) {
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", ...(host ? ["-H", `Host: ${host}`] : []), url];
  const run = await PinnedProcess.start("wrk", args, { cpu: 1 });
  await run.exited();
  const { output } = run;
  const requests = Number(/(\d+) requests in/.exec(output)?.[1] ?? 0);
  if (requests === 0 || /Non-2xx|Socket errors: (?!connect 0, read 0, write 0, timeout 0)/.test(output)) {
    throw new Error(`wrk ${url}: not what was to be measured\n${output}`);
  }
  return { requests, p50: percentile(output, 50), p99: percentile(output, 99) };
}

function percentile(output, which) {
  const [, value, unit] = new RegExp(`^\\s+${which}%\\s+([\\d.]+)(us|ms|s)`, "m").exec(output) ?? [];
  return Number(value) * { us: 0.001, ms: 1, s: 1_000 }[unit];
}
