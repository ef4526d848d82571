// What a shim keeps for each connection that others hold open and don't use, and what Node itself does. The budget is for a shim that refuses plaintext,
// as HAProxy's listener does; one that takes it has to read the first bytes before TLS does.
import { freePort, path, service, startInboundShim } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl"];
const connections = 2_000;
/** What the first ones cost isn't what each one costs: pools, and 4 MiB of Node's own program, which are read in once. */
const before = 500;

export async function start(bench) {
  const { ca } = bench.certificates;
  const app = await PinnedProcess.program("canned-server", { bytes: 100 }, 1);

  const growth = async (server, port) => {
    const client = await PinnedProcess.program("tls-generator", { tls: { ...bench.identities.client, ca } }, 1);
    const target = { do: "idle", port, host: service, path };
    const open = async (more) => {
      await client.ask({ ...target, connections: more });
      await settled();
      return server.memory().rss;
    };
    const few = await open(before);
    const many = await open(connections);
    await Promise.all([server.stop(), client.stop()]);
    return { before: few, after: many, kib: ((many - few) * 1_024) / connections };
  };

  const shim = async (plaintext) => {
    const port = await freePort();
    return growth(await startInboundShim(bench, app.info.port, port, { plaintext }), port);
  };

  return {
    windows: {
      shim: () => shim("refuse"),
      shimPlaintextAllowed: () => shim("allow"),
      async node() {
        const tls = { ...bench.identities.server, ca };
        const server = await PinnedProcess.program("tls-server", { tls }, 0);
        return growth(server, server.info.port);
      },
    },
    figures: (w) => ({
      "connection.kib": w.shim.kib,
      "connection.kibPlaintextAllowed": w.shimPlaintextAllowed.kib,
    }),
    stop: () => app.stop(),
  };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 1_000));
