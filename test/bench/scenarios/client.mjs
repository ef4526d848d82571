// undici's request() on the mesh's dispatcher, against undici's own HTTP/2, over mutual TLS to a server that is neither's.
import { spiffeId } from "../certificates.mjs";
import { answeringServer, startHaproxy } from "../haproxy.mjs";
import { measure } from "../measure.mjs";
import { freePort, outbound, path, service, workload } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl", "haproxy"];
const bytes = 100;

export async function start(bench) {
  const port = await freePort();
  const { ca } = bench.certificates;
  const text = answeringServer({ port, identity: bench.identities.server, ca, body: "x".repeat(bytes) });
  const server = await startHaproxy(bench.directory, "answering", text, { port, cpu: 1 });
  const { cert, key } = bench.identities.client;
  const undici = await PinnedProcess.program(
    "caller",
    {
      kind: "undiciH2",
      url: `https://127.0.0.1:${port}${path}`,
      bytes,
      tls: { cert, key, ca, id: spiffeId("server") },
    },
    0,
  );
  const mesh = { ...workload("client", bench), outbound: outbound(port) };
  const ours = await PinnedProcess.program("caller", { kind: "mesh", url: `http://${service}${path}`, bytes, mesh }, 0);

  const closed = (caller) => () =>
    measure([caller], () => caller.ask({ do: "closed", ms: bench.seconds * 1_000, inFlight: 50 }), bench);

  return {
    windows: { ours: closed(ours), undici: closed(undici) },
    figures: (w) => ({ "client.cpuVsUndiciH2": w.ours.cpuUs / w.undici.cpuUs }),
    stop: () => Promise.all([server, undici, ours].map((process) => process.stop())),
  };
}
