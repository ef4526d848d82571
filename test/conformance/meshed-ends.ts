import { createServer, type RequestListener } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { createMesh, type Log, type MeshOptions } from "@selvage/core";
import type { MeshRuntime } from "@selvage/core/spi";
import { startShim } from "@selvage/proxy-shim";
import { type Client, node1Client } from "./client.js";

export const meshedKinds = ["sdk", "shim"] as const;
export type MeshedKind = (typeof meshedKinds)[number];

interface End {
  /** Of `/metrics`. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export interface ServingEnd extends End {
  readonly address: string;
}

export interface CallingEnd extends End {
  /** Where its admin port is. */
  readonly admin: string;
  /** A client for one authority. */
  client(authority: string): Client;
}

const quiet = { admin: { port: 0 }, drain: { timeout: "1s" } } as const;

/** A workload that serves: everybody may call it, with an identity or not. */
export async function startServing(kind: MeshedKind, options: MeshOptions, app: RequestListener): Promise<ServingEnd> {
  const inbound = {
    host: "127.0.0.1",
    port: 0,
    policy: { default: "all-unauthenticated" },
    ...options.inbound,
  } as const;
  if (kind === "sdk") {
    const mesh = await createMesh({ ...quiet, ...options, inbound, log: () => {} });
    const server = mesh.createServer(app);
    const { port } = await listen(server);
    return { address: `127.0.0.1:${port}`, metrics: async () => mesh.metrics(), stop: () => mesh.close() };
  }
  const server = createServer(app);
  const { port } = await listen(server);
  const shim = await startShim({
    options: { ...quiet, ...options, inbound: { ...inbound, app: `127.0.0.1:${port}` }, outbound: { port: 0 } },
    announce: false,
  });
  return {
    address: `127.0.0.1:${shim.inboundAddress!.port}`,
    metrics: () => metricsOf(shim.runtime),
    stop: async () => {
      await shim.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A workload that only calls. `log` hears of the library only. */
export async function startCalling(kind: MeshedKind, options: MeshOptions, log: Log = () => {}): Promise<CallingEnd> {
  const complete = { ...quiet, ...options, outbound: { port: 0, ...options.outbound } };
  if (kind === "sdk") {
    const mesh = await createMesh({ ...complete, log });
    return {
      admin: mesh.adminAddress!,
      client: (authority) => node1Client({ authority, agent: mesh.agent }),
      metrics: async () => mesh.metrics(),
      stop: () => mesh.close(),
    };
  }
  const shim = await startShim({ options: complete, inbound: false });
  const connectTo = { host: "127.0.0.1", port: Number(new URL(shim.outboundUrl).port) };
  return {
    admin: shim.runtime.adminAddress!,
    client: (authority) => node1Client({ authority, absolute: true, connectTo }),
    metrics: () => metricsOf(shim.runtime),
    stop: () => shim.close(),
  };
}

async function metricsOf(runtime: MeshRuntime): Promise<string> {
  const response = await fetch(`${runtime.adminAddress}/metrics`);
  return await response.text();
}

export function listen(server: Server): Promise<AddressInfo> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo)));
}

/** How often each reason was counted for which a peer was refused. */
export function refusedPeers(metrics: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const [, reason, count] of metrics.matchAll(/^selvage_protections_total\{reason="peer ([^"]+)"\} (\d+)$/gm))
    found.set(reason!, Number(count));
  return found;
}
