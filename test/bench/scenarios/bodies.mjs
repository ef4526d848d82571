// Large bodies through the pairs: what they hold at most, and what a MiB costs. Nothing of it is a budget: it has to be bounded.
import { measure } from "../measure.mjs";
import { path, service, startHaproxyPair, startShimPair } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl"];

export async function start(bench) {
  const bytes = bench.quick ? 128 << 20 : 1 << 30;
  const app = await PinnedProcess.program("bulk", {}, 1);
  const pairs = { ours: await startShimPair(bench, app.info.port) };
  if (bench.peers.has("haproxy")) pairs.haproxy = await startHaproxyPair(bench, app.info.port);

  const windows = {};
  for (const [name, { entry, devices }] of Object.entries(pairs)) {
    for (const direction of ["upload", "download"]) {
      windows[`${name}.${direction}`] = async () => {
        for (const device of devices) device.resetPeak();
        const target = { do: direction, port: entry, host: service, path, bytes };
        const { cpuUs, seconds } = await measure(devices, async () => {
          const started = performance.now();
          const answer = await app.ask(target);
          if (answer.bytes !== bytes) throw new Error(`${direction}: ${answer.bytes} bytes of ${bytes}`);
          return { requests: bytes / (1 << 20), seconds: (performance.now() - started) / 1_000 };
        });
        const peakMiB = devices.map((device) => device.memory().peak);
        return { peakMiB, cpuUsPerMiB: cpuUs, mibPerSecond: bytes / (1 << 20) / seconds };
      };
    }
  }

  return {
    /** Longer than the others, and not about ratios: once is enough. */
    once: true,
    windows,
    figures: () => ({}),
    stop: () => Promise.all([app.stop(), ...Object.values(pairs).map((pair) => pair.stop())]),
  };
}
