// What a shim keeps for each connection that others hold open and don't use.
import { freePort, path, service, startInboundShim } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl"];
const connections = 2_000;

export async function start(bench) {
  const app = await PinnedProcess.program("canned-server", { bytes: 100 }, 1);
  return {
    windows: {
      async idle() {
        const { ca } = bench.certificates;
        const port = await freePort();
        const shim = await startInboundShim(bench, app.info.port, port);
        const client = await PinnedProcess.program("tls-generator", { tls: { ...bench.identities.client, ca } }, 1);
        const target = { do: "idle", port, host: service, path };
        // What the first ones cost (code, pools) isn't what each one costs.
        await client.ask({ ...target, connections: 20 });
        await settled();
        const before = shim.memory().rss;
        await client.ask({ ...target, connections: connections + 20 });
        await settled();
        const after = shim.memory().rss;
        await Promise.all([shim.stop(), client.stop()]);
        return { before, after, kib: ((after - before) * 1_024) / connections };
      },
    },
    figures: ({ idle }) => ({ "connection.kib": idle.kib }),
    stop: () => app.stop(),
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 1_000));
