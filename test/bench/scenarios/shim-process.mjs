// One idle shim: how soon it is ready, and what it holds.
import { freePort, startInboundShim } from "../pairs.mjs";

export const needs = ["openssl"];

export async function start(bench) {
  return {
    windows: {
      async idle() {
        const shim = await startInboundShim(bench, 1, await freePort());
        await new Promise((resolve) => setTimeout(resolve, 1_000));
        const memory = shim.memory();
        await shim.stop();
        return { ...memory, readyMs: shim.readyMs };
      },
    },
    figures: ({ idle }) => ({
      "shim.idleRssMiB": idle.rss,
      "shim.idlePrivateMiB": idle.private,
      "shim.readyMs": idle.readyMs,
    }),
    async stop() {},
  };
}
