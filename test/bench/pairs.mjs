// Two proxies that carry HTTP/1 over HTTP/2 in mutual TLS from `entry` to an app: our shims, and HAProxy.
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { spiffeId, trustDomain } from "./certificates.mjs";
import { inboundSidecar, outboundSidecar, startHaproxy } from "./haproxy.mjs";
import { PinnedProcess } from "./pinned-process.mjs";

const cli = new URL("../../packages/proxy-shim/dist/cli.cjs", import.meta.url).pathname;

/** The authority of the service behind the pair, as `Host`. */
export const service = "server.bench";
export const path = "/items/7";

/** Twenty routes, the one that is taken among them, and rules of which the third decides. */
export const routes = Array.from({ length: 20 }, (_, i) => ({
  match: { path: i === 13 ? "/items/*" : `/area-${i}/*`, method: "GET" },
  timeout: "10s",
  retry: { limit: 2 },
}));
export const rules = [
  { name: "no-admin", from: [`spiffe://${trustDomain}/ns/jobs/*`], paths: ["/items/admin/*"], action: "deny" },
  { name: "others", from: [spiffeId("others")], paths: ["/items/*"], action: "allow" },
  { name: "callers", from: [spiffeId("client")], methods: ["GET", "POST"], paths: ["/items/*"], action: "allow" },
  { name: "bench", from: [`spiffe://${trustDomain}/ns/bench/*`], paths: ["/other/*"], action: "audit" },
];

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What a workload of the benchmark is configured with, shim or library. */
export function workload(name, bench) {
  const { cert, key } = bench.identities[name];
  return {
    workload: { name, namespace: "bench", trustDomain },
    identity: { source: "files", cert, key, bundle: bench.certificates.ca },
  };
}

/** How a client of the service is configured. */
export const outbound = (peer) => ({
  services: { [service]: { endpoints: [`127.0.0.1:${peer}`], identity: spiffeId("server"), routes } },
});

export async function startShim(bench, name, configuration, port) {
  const file = join(bench.directory, `${name}-${port}.yaml`);
  writeFileSync(file, JSON.stringify(configuration));
  const flags = (process.env.BENCH_SHIM_FLAGS ?? "").split(" ").filter(Boolean);
  const inbound = configuration.outbound?.services === undefined ? [] : ["--no-inbound"];
  return PinnedProcess.start(process.execPath, [...flags, cli, "shim", "-c", file, ...inbound], {
    cpu: 0,
    cwd: bench.directory,
    pattern: /selvage: ready/,
  });
}

/** The shim in front of an app. `more`: of `inbound`. */
export function startInboundShim(bench, app, port, more = {}) {
  const inbound = { host: "127.0.0.1", port, app: `127.0.0.1:${app}`, policy: { default: "deny", rules }, ...more };
  return startShim(
    bench,
    "server",
    { ...workload("server", bench), inbound, outbound: { port: 0 }, admin: { port: 0 } },
    port,
  );
}

export async function startShimPair(bench, app) {
  const [entry, between] = [await freePort(), await freePort()];
  const second = await startInboundShim(bench, app, between);
  const own = { ...workload("client", bench), outbound: { port: entry, ...outbound(between) }, admin: { port: 0 } };
  const first = await startShim(bench, "client", own, entry);
  return pair(entry, [first, second]);
}

/** `cpu`: where the first of them runs, the one beside the client. */
export async function startHaproxyPair(bench, app, cpu = 0) {
  const [entry, between] = [await freePort(), await freePort()];
  const { ca } = bench.certificates;
  const { client, server } = bench.identities;
  const inbound = inboundSidecar({ port: between, app, identity: server, ca });
  const second = await startHaproxy(bench.directory, `in-${between}`, inbound, { port: between });
  const out = outboundSidecar({ port: entry, peer: between, identity: client, ca });
  const first = await startHaproxy(bench.directory, `out-${entry}`, out, { port: entry, cpu });
  return pair(entry, [first, second]);
}

function pair(entry, devices) {
  return {
    entry,
    devices,
    url: `http://127.0.0.1:${entry}${path}`,
    stop: () => Promise.all(devices.map((device) => device.stop())),
  };
}
