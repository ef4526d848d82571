// One window: a load, and what the processes under test used for each request of it.
import { busyUs } from "./pinned-process.mjs";

/** Above this share of CPU 0 used by others, a window says little and is repeated. */
const maxForeignShare = 0.05;

/**
 * Runs `load`, which resolves to at least `{ requests }`, and adds: CPU per request of all `devices` together and of each,
 * their memory, and the share of CPU 0 that others used meanwhile.
 */
export async function measure(devices, load, { tries = 1 } = {}) {
  let best = null;
  for (let i = 0; i < tries; i += 1) {
    const window = await once(devices, load);
    if (best === null || window.foreign < best.foreign) best = window;
    if (best.foreign <= maxForeignShare) break;
  }
  return best;
}

async function once(devices, load) {
  const before = devices.map((device) => device.cpuUs());
  const busy = busyUs(0);
  const started = performance.now();
  const result = await load();
  const elapsedUs = (performance.now() - started) * 1_000;
  const used = devices.map((device, i) => device.cpuUs() - before[i]);
  const total = used.reduce((sum, each) => sum + each, 0);
  const onCpu0 = used.reduce((sum, each, i) => sum + (devices[i].cpu === 0 ? each : 0), 0);
  return {
    ...result,
    cpuUs: total / result.requests,
    each: used.map((each) => each / result.requests),
    rssMiB: devices.map((device) => device.memory().rss),
    rps: (result.requests * 1e6) / elapsedUs,
    foreign: Math.max(0, (busyUs(0) - busy - onCpu0) / elapsedUs),
  };
}
