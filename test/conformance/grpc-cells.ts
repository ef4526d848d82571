import { mkdtempSync, rmSync } from "node:fs";
import type { Server as HttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Client,
  type ClientOptions,
  credentials,
  makeGenericClientConstructor,
  type Server,
  ServerCredentials,
} from "@grpc/grpc-js";
import { createMesh } from "@selvage/core";
import { grpcChannel, peerOfCall, serveGrpc } from "@selvage/core/grpc";
import type { MeshOptions } from "@selvage/core/spi";
import { startShim } from "@selvage/proxy-shim";
import { definition, GrpcLog, grpcApp } from "./grpc-app.js";

const kinds = ["sdk", "shim"] as const;

export interface GrpcCell {
  readonly name: string;
  readonly client: (typeof kinds)[number];
  readonly server: (typeof kinds)[number];
}

export const grpcCells: readonly GrpcCell[] = kinds.flatMap((client) =>
  kinds.map((server) => ({ name: `${client}→${server}`, client, server })),
);

/** A cell that runs: two servers with one identity, `a` and `b`, and clients for whatever authority. */
export interface RunningGrpcCell {
  readonly log: GrpcLog;
  readonly clientId: string;
  clientFor(authority: string, options?: ClientOptions): Client;
  stop(): Promise<void>;
}

const TestClient = makeGenericClientConstructor(definition, "test.Conformance");
const clientId = "spiffe://dev.selvage/ns/test/sa/caller";
const serverId = "spiffe://dev.selvage/ns/test/sa/app";

interface Stops {
  readonly stateDir: string;
  readonly stops: (() => unknown)[];
}

export async function startGrpcCell(cell: GrpcCell): Promise<RunningGrpcCell> {
  const stateDir = mkdtempSync(join(tmpdir(), "conformance-"));
  const log = new GrpcLog();
  const stops: (() => unknown)[] = [];
  const a = await startServer(cell, "a", log, { stateDir, stops });
  const b = await startServer(cell, "b", log, { stateDir, stops });
  const clientFor = await startClient(cell, `127.0.0.1:${a}`, `127.0.0.1:${b}`, { stateDir, stops });
  return {
    log,
    clientId,
    clientFor,
    async stop() {
      for (const stop of stops.reverse()) await stop();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

async function startServer(cell: GrpcCell, name: string, log: GrpcLog, { stateDir, stops }: Stops): Promise<number> {
  const options: MeshOptions = {
    workload: { name: "app", namespace: "test" },
    stateDir,
    identity: { source: "dev" },
    admin: false,
    drain: { timeout: "1s" },
    inbound: {
      host: "127.0.0.1",
      port: 0,
      policy: {
        rules: [
          { name: "closed", action: "deny", from: ["*"], paths: ["/test.Conformance/Forbidden", "/test.Secrets/*"] },
        ],
      },
    },
  };
  if (cell.server === "sdk") {
    const mesh = await createMesh(options);
    const app = grpcApp(name, log, (call) => peerOfCall(call)?.toString() ?? null);
    stops.push(() => app.forceShutdown());
    stops.push(() => mesh.close());
    return listening(serveGrpc(mesh, app));
  }
  const app = grpcApp(name, log, (call) => String(call.metadata.get("l5d-client-id")));
  stops.push(() => app.forceShutdown());
  const port = await bound(app);
  const inbound = { ...options.inbound, app: `127.0.0.1:${port}`, appProtocol: "h2" as const };
  const shim = await startShim({ options: { ...options, inbound, outbound: { port: 0 } } });
  stops.push(() => shim.close());
  return shim.inboundAddress!.port;
}

async function startClient(
  cell: GrpcCell,
  a: string,
  b: string,
  { stateDir, stops }: Stops,
): Promise<RunningGrpcCell["clientFor"]> {
  const identity = serverId;
  const options: MeshOptions = {
    workload: { name: "caller", namespace: "test" },
    stateDir,
    identity: { source: "dev" },
    admin: false,
    drain: { timeout: "1s" },
    outbound: {
      port: 0,
      queue: { failFast: "300ms" },
      services: {
        "app.test": { endpoints: [a], identity },
        "pair.test": { endpoints: [a, b], identity },
        // One of its endpoints is not there.
        "half.test": { endpoints: ["127.0.0.1:1", b], identity },
        "stubborn.test": { endpoints: [a], identity, retry: { grpcStatuses: [14] } },
        "gone.test": { endpoints: ["127.0.0.1:1"], identity },
        "hasty.test": { endpoints: [a], identity, timeout: "300ms" },
        "patient.test": { endpoints: [a], identity, timeout: "30s" },
        "impostor.test": { endpoints: [a], identity: "spiffe://dev.selvage/ns/test/sa/somebody-else" },
      },
    },
  };
  const clients: Client[] = [];
  const keep = (client: Client): Client => {
    clients.push(client);
    return client;
  };
  const closeClients = () => {
    for (const client of clients) client.close();
  };
  if (cell.client === "sdk") {
    const mesh = await createMesh(options);
    stops.push(() => mesh.close(), closeClients);
    return (authority, more) => keep(new TestClient(...grpcChannel(mesh, authority, more)));
  }
  const shim = await startShim({ options, inbound: false });
  stops.push(() => shim.close(), closeClients);
  const { host } = new URL(shim.outboundUrl);
  return (authority, more) =>
    keep(new TestClient(host, credentials.createInsecure(), { "grpc.default_authority": authority, ...more }));
}

function listening(server: HttpServer): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

function bound(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
}
