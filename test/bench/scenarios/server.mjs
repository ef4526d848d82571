// The mesh's server over HTTP/2 in mutual TLS, 2 connections × 25 streams, against node:https over 50 connections: what a
// Node app that asks for client certificates does today.
import { measure } from "../measure.mjs";
import { path, rules, service, workload } from "../pairs.mjs";
import { PinnedProcess } from "../pinned-process.mjs";

export const needs = ["openssl"];
const bytes = 100;

export async function start(bench) {
  const { ca } = bench.certificates;
  const { client, server } = bench.identities;
  const generator = await PinnedProcess.program("tls-generator", { tls: { ...client, ca } }, 1);
  const inbound = { plaintext: "refuse", policy: { default: "deny", rules } };
  const ours = await PinnedProcess.program(
    "mesh-server",
    { bytes, mesh: { ...workload("server", bench), inbound } },
    0,
  );
  const https = await PinnedProcess.program("node-server", { bytes, tls: { ...server, ca } }, 0);

  const closed = (device, load) => () =>
    measure(
      [device],
      () =>
        generator.ask({
          do: "closed",
          port: device.info.port,
          host: service,
          path,
          ms: bench.seconds * 1_000,
          ...load,
        }),
      bench,
    );

  return {
    windows: {
      ours: closed(ours, { protocol: "h2", connections: 2, streams: 25 }),
      https: closed(https, { protocol: "h1", connections: 50 }),
    },
    figures: (w) => ({ "server.cpuVsNodeHttps": w.ours.cpuUs / w.https.cpuUs }),
    stop: () => Promise.all([generator, ours, https].map((process) => process.stop())),
  };
}
