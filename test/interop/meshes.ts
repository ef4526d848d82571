import { mkdtempSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CreateMeshOptions, createMesh, type Mesh } from "@selvage/core";

export const callerId = "spiffe://dev.selvage/ns/test/sa/caller";
export const serverId = "spiffe://dev.selvage/ns/test/sa/server";

/** Meshes of one test file, with a development authority of their own. */
export class Meshes {
  readonly stateDir = mkdtempSync(join(tmpdir(), "interop-"));
  readonly #stops: (() => Promise<unknown>)[] = [];

  /** One that serves: everybody may call it, with an identity or not. */
  server(options: CreateMeshOptions = {}): Promise<Mesh> {
    return this.#mesh({
      workload: { name: "server", namespace: "test" },
      inbound: { host: "127.0.0.1", port: 0, policy: { default: "all-unauthenticated" } },
      ...options,
    });
  }

  /** One that calls: authorities by the ports on which they are served. */
  caller(ports: Readonly<Record<string, number>>): Promise<Mesh> {
    return this.#mesh({
      workload: { name: "caller", namespace: "test" },
      outbound: { port: 0, services: servicesAt(ports) },
    });
  }

  /** Done before the meshes close, last one first. */
  onStop(stop: () => Promise<unknown>): void {
    this.#stops.push(stop);
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.splice(0).reverse()) await stop();
    rmSync(this.stateDir, { recursive: true, force: true });
  }

  async #mesh(options: CreateMeshOptions): Promise<Mesh> {
    const mesh = await createMesh({ stateDir: this.stateDir, admin: false, drain: { timeout: "100ms" }, ...options });
    this.#stops.push(() => mesh.close());
    return mesh;
  }
}

/** Services of the meshed server, each on a port. */
export function servicesAt(ports: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(ports).map(([authority, port]) => [
      authority,
      { endpoints: [{ address: `127.0.0.1:${port}`, identity: serverId }] },
    ]),
  );
}

export function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}
