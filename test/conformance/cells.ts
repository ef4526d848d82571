import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMesh, type EndpointOptions, type Mesh } from "@selvage/core";
import { MeshExchange, type MeshOptions, MeshRuntime } from "@selvage/core/spi";
import { ServiceDispatcher } from "@selvage/http2/undici";
import { type Shim, startShim } from "@selvage/proxy-shim";
import { AppLog, conformanceApp } from "./app.js";
import { type Client, node1Client, node2Client, undiciClient } from "./client.js";
import { routedRoutes } from "./routed-cases.js";

export const kinds = ["sdk", "shim", "plain"] as const;
export const protocols = ["HTTP/1.1", "HTTP/2"] as const;
export type Kind = (typeof kinds)[number];
/** What the two applications speak. Between meshed ends it is HTTP/2 in any case. */
export type Protocol = (typeof protocols)[number];

export interface Cell {
  readonly name: string;
  readonly client: Kind;
  readonly server: Kind;
  readonly protocol: Protocol;
}

export const cells: readonly Cell[] = kinds.flatMap((client) =>
  kinds.flatMap((server) =>
    protocols.map((protocol) => ({ name: `${client}→${server} ${protocol}`, client, server, protocol })),
  ),
);

export function meshed(cell: Cell): boolean {
  return cell.client !== "plain" && cell.server !== "plain";
}

/** A client and a server of one cell, running. */
export interface RunningCell {
  readonly cell: Cell;
  readonly client: Client;
  readonly log: AppLog;
  /** The client's id, for cells with an identity on both ends. */
  readonly clientId: string | null;
  /** Behind `pair.test`, and the first of them alone behind `app.test`. */
  readonly replicas: readonly Replica[];
  /** Host and port of an app that is in no mesh, and that meshed clients may call. */
  readonly outside: string;
  stop(): Promise<void>;
}

export interface Replica {
  readonly port: number;
  /** Ends it as an application does: what is in flight may finish. */
  close(): Promise<unknown>;
}

const authority = "app.test";
const clientId = "spiffe://dev.selvage/ns/test/sa/caller";
const serverId = "spiffe://dev.selvage/ns/test/sa/app";

/** Starts what a cell needs, on free ports, with a development authority of its own. */
export async function startCell(cell: Cell, { lifetime = "24h", drain = "1s" } = {}): Promise<RunningCell> {
  const stateDir = mkdtempSync(join(tmpdir(), "conformance-"));
  const log = new AppLog();
  const stops: (() => Promise<unknown>)[] = [];
  const embedded = { stateDir, lifetime, drain };
  const replicas = [await startServer(cell, embedded, conformanceApp(log, "a"), stops)];
  // A plain client has nothing to choose by.
  if (cell.client !== "plain") replicas.push(await startServer(cell, embedded, conformanceApp(log, "b"), stops));
  const elsewhere = createServer(conformanceApp(log, "outside"));
  stops.push(() => stopped(elsewhere));
  const outside = `localhost:${(await listen(elsewhere)).port}`;
  const client = await startClient(cell, embedded, { replicas, outside }, stops);
  return {
    cell,
    client,
    log,
    clientId: meshed(cell) ? clientId : null,
    replicas,
    outside,
    async stop() {
      await client.close();
      for (const stop of stops.reverse()) await stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

interface Embedded {
  readonly stateDir: string;
  /** Of SVIDs. */
  readonly lifetime: string;
  /** What meshed servers give to what is in flight. */
  readonly drain: string;
}

async function startServer(
  cell: Cell,
  { stateDir, lifetime, drain }: Embedded,
  app: RequestListener,
  stops: (() => Promise<unknown>)[],
): Promise<Replica> {
  const options: MeshOptions = {
    workload: { name: "app", namespace: "test" },
    stateDir,
    identity: { source: "dev", lifetime },
    admin: false,
    drain: { timeout: drain },
    inbound: {
      host: "127.0.0.1",
      port: 0,
      policy: {
        default: "all-unauthenticated",
        rules: [{ name: "closed", action: "deny", from: ["*", "unauthenticated"], paths: ["/forbidden"] }],
      },
    },
  };
  if (cell.server === "sdk") {
    const mesh = await createMesh(options);
    stops.push(() => mesh.close());
    const { port } = await listen(mesh.createServer(app));
    return { port, close: () => mesh.close() };
  }
  if (cell.server === "plain" && cell.protocol === "HTTP/2") {
    const server = createHttp2Server({}, app as never);
    stops.push(() => stopped(server));
    const { port } = await listen(server);
    return { port, close: () => stopped(server) };
  }
  const server = createServer(app);
  stops.push(() => stopped(server));
  const address = await listen(server);
  if (cell.server === "plain") return { port: address.port, close: () => stopped(server) };
  const shim = await startShim({
    options: { ...options, inbound: { ...options.inbound, app: `127.0.0.1:${address.port}` }, outbound: { port: 0 } },
    announce: false,
  });
  stops.push(() => shim.close());
  return { port: shim.inboundAddress!.port, close: () => shim.close() };
}

async function startClient(
  cell: Cell,
  { stateDir, lifetime }: Embedded,
  { replicas, outside }: Pick<RunningCell, "replicas" | "outside">,
  stops: (() => Promise<unknown>)[],
): Promise<Client> {
  const server = replicas[0]!;
  const address = `127.0.0.1:${server.port}`;
  if (cell.client === "plain") {
    if (cell.protocol === "HTTP/2") return node2Client(server.port, authority);
    return node1Client({ authority, connectTo: { host: "127.0.0.1", port: server.port } });
  }
  const options: MeshOptions = {
    workload: { name: "caller", namespace: "test" },
    stateDir,
    identity: { source: "dev", lifetime },
    admin: false,
    drain: { timeout: "1s" },
    outbound: {
      port: 0,
      egress: { allow: [`http://${outside}`] },
      services: {
        [authority]: {
          endpoints: endpointsOf(cell, [server]),
          routes: [
            { name: "hang", match: { path: "/hang" }, timeout: "300ms" },
            {
              name: "silent",
              match: { path: "/hang", headers: { "x-idle": { present: true } } },
              idleTimeout: "200ms",
            },
            ...routedRoutes,
          ],
        },
        "pair.test": { endpoints: endpointsOf(cell, replicas) },
        // The same server by another name.
        "canary.test": { endpoints: endpointsOf(cell, [server]) },
        "hashed.test": { endpoints: endpointsOf(cell, replicas), balancer: { hash: { header: "x-user" } } },
        "hedged.test": { endpoints: endpointsOf(cell, replicas), timeout: "5s", retry: { hedge: { delay: "50ms" } } },
        // Nobody is there, and somebody else is there.
        "gone.test": { endpoints: ["127.0.0.1:1"], timeout: "2s" },
        "impostor.test": {
          endpoints: [{ address, identity: "spiffe://dev.selvage/ns/test/sa/somebody-else" }],
          timeout: "2s",
        },
      },
    },
  };
  if (cell.client === "shim") {
    const shim: Shim = await startShim({ options, inbound: false });
    stops.push(() => shim.close());
    const port = Number(new URL(shim.outboundUrl).port);
    if (cell.protocol === "HTTP/2") return node2Client(port, authority);
    return node1Client({ authority, absolute: true, connectTo: { host: "127.0.0.1", port } });
  }
  if (cell.protocol === "HTTP/1.1") {
    const mesh: Mesh = await createMesh(options);
    stops.push(() => mesh.close());
    return node1Client({ authority, agent: mesh.agent });
  }
  // No HTTP client of Node's speaks HTTP/2 to an agent: exchanges are marked as HTTP/2 on their way into the stack.
  const runtime = await MeshRuntime.start({ options });
  stops.push(() => runtime.close());
  const marking = {
    call(x: MeshExchange, sink: Parameters<typeof runtime.outbound.call>[1]) {
      x.version = "2.0";
      runtime.outbound.call(x, sink);
    },
  };
  return undiciClient(new ServiceDispatcher(marking, { newExchange: () => new MeshExchange("outbound") }), authority);
}

function endpointsOf(cell: Cell, replicas: readonly Replica[]): EndpointOptions[] {
  return replicas.map(({ port }) => {
    const address = `127.0.0.1:${port}`;
    if (cell.server !== "plain") return { address, identity: serverId };
    return { address, protocol: cell.protocol === "HTTP/2" ? "h2" : "h1" };
  });
}

function listen(server: Server | Http2Server): Promise<AddressInfo> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo)));
}

function stopped(server: Server | Http2Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    if ("closeAllConnections" in server) server.closeAllConnections();
  });
}
