// Two shims against two HAProxies: HTTP/1 in, HTTP/2 over mutual TLS between them, HTTP/1 out.
import { measure } from "../measure.mjs";
import { path, service, startHaproxyPair, startShimPair } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";
import { wrk } from "../wrk.mjs";

export const needs = ["openssl", "haproxy", "wrk"];

export async function start(bench) {
  const small = await PinnedProcess.program("canned-server", { bytes: 100 }, 1);
  const large = await PinnedProcess.program("canned-server", { bytes: 10_240 }, 1);
  const generator = await PinnedProcess.program("generator", {}, 1);
  const pairs = {
    ours: [await startShimPair(bench, small.info.port), await startShimPair(bench, large.info.port)],
    haproxy: [await startHaproxyPair(bench, small.info.port), await startHaproxyPair(bench, large.info.port)],
  };

  const saturate = ({ url, devices }) =>
    measure(devices, () => wrk(url, { seconds: bench.seconds, host: service }), bench);
  const at5000 = ({ entry, devices }) =>
    measure(
      devices,
      () => generator.ask({ do: "requests", port: entry, host: service, path, rate: 5_000, ms: bench.seconds * 1_000 }),
      bench,
    );

  const windows = {};
  for (const [name, [first, second]] of Object.entries(pairs)) {
    windows[`${name}.saturated`] = () => saturate(first);
    windows[`${name}.saturated10k`] = () => saturate(second);
    windows[`${name}.at5000`] = () => at5000(first);
  }

  return {
    windows,
    figures: (w) => ({
      "shimPair.cpuVsHaproxy": w["ours.saturated"].cpuUs / w["haproxy.saturated"].cpuUs,
      "shimPair.cpuVsHaproxy10k": w["ours.saturated10k"].cpuUs / w["haproxy.saturated10k"].cpuUs,
      "shimPair.p99VsHaproxy": w["ours.at5000"].p99 / w["haproxy.at5000"].p99,
      "shim.rssAt5000rpsMiB": Math.max(...(w["ours.at5000"].rssMiB ?? [Number.NaN])),
    }),
    async stop() {
      await Promise.all([...pairs.ours, ...pairs.haproxy].map((pair) => pair.stop()));
      await Promise.all([small, large, generator].map((process) => process.stop()));
    },
  };
}
