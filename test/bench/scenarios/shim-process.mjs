// Idle shims: how soon they are ready, and what they hold when V8 has tidied up after the start, which it does in the first
// seconds without work.
import { freePort, startInboundShim } from "../pairs.mjs";

export const needs = ["openssl"];

export async function start(bench) {
  const shims = [];
  return {
    once: true,
    windows: {
      async idle() {
        for (let i = 0; i < bench.rounds; i += 1) shims.push(await startInboundShim(bench, 1, await freePort()));
        await new Promise((resolve) => setTimeout(resolve, bench.quick ? 1_000 : 20_000));
        const memory = shims.map((shim) => shim.memory());
        return { memory, readyMs: shims.map((shim) => shim.readyMs) };
      },
    },
    figures: ({ idle: { memory, readyMs } }) => ({
      "shim.idleRssMiB": memory.map(({ rss }) => rss),
      "shim.idlePrivateMiB": memory.map((each) => each.private),
      "shim.readyMs": readyMs,
    }),
    stop: () => Promise.all(shims.map((shim) => shim.stop())),
  };
}
