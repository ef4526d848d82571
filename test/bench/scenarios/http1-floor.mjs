// The engine's HTTP/1.1 server against a socket that writes canned answers, which nothing in Node can beat.
import { measure } from "../measure.mjs";
import { PinnedProcess } from "../pinned-process.mjs";
import { wrk } from "../wrk.mjs";

export const needs = ["wrk"];
const bytes = 100;

export async function start(bench) {
  const ours = await PinnedProcess.program("engine-server", { bytes }, 0);
  const floor = await PinnedProcess.program("canned-server", { bytes }, 0);
  const node = await PinnedProcess.program("node-server", { bytes }, 0);
  const saturate = (device) => () =>
    measure([device], () => wrk(`http://127.0.0.1:${device.info.port}/`, { seconds: bench.seconds }), bench);

  return {
    windows: { ours: saturate(ours), floor: saturate(floor), node: saturate(node) },
    figures: (w) => ({ "server.h1CpuVsRawFloor": w.ours.cpuUs / w.floor.cpuUs }),
    stop: () => Promise.all([ours, floor, node].map((process) => process.stop())),
  };
}
