import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshOptions } from "@selvage/core";
import { Caller, type Surroundings } from "./caller.js";
import { bundle, endPrograms, Program, processedIn } from "./program.js";
import { Replica, type ReplicaOptions } from "./replica-process.js";
import type { Protocol, SenderOptions } from "./senders.js";

export type Kind = "sdk" | "shim";

/** Who calls whom, each with the library or behind a shim. */
export const cellNames = ["sdk→sdk", "sdk→shim", "shim→sdk", "shim→shim"] as const;
export type CellName = (typeof cellNames)[number];

export interface CallerOptions extends Surroundings {
  readonly protocol?: Protocol;
  /** Configuration of the caller. With `services` of its own it doesn't use the local registry. */
  readonly outbound?: MeshOptions["outbound"];
  readonly zone?: string;
  /** All requests are GETs. */
  readonly safeOnly?: boolean;
  /** Instead of that of the replicas. */
  readonly authority?: string;
}

/** The identity of the replicas. */
export const appIdentity = "spiffe://dev.selvage/ns/default/sa/app";

/** Replicas and callers of one cell, each in processes of its own, with a development authority and a registry for them alone. */
export class MeshedCell {
  readonly stateDir = mkdtempSync(join(tmpdir(), "chaos-"));
  readonly replicas: Replica[] = [];
  readonly #client: Kind;
  readonly #server: Kind;
  readonly #logs: string[] = [];
  readonly #callers: Caller[] = [];
  #shims = 0;

  private constructor(name: string) {
    [this.#client, this.#server] = name.split("→") as [Kind, Kind];
  }

  static async start(name: CellName): Promise<MeshedCell> {
    await bundle();
    return new MeshedCell(name);
  }

  /** Starts a replica, and waits until others can find it. */
  async replica(options: ReplicaOptions = {}): Promise<Replica> {
    const log = join(this.stateDir, `log${this.#logs.length}`);
    this.#logs.push(log);
    const replica = await Replica.start(this.#server, { stateDir: this.stateDir, log, ...options });
    this.replicas.push(replica);
    return replica;
  }

  /** Several at once. */
  async start(count: number, options: ReplicaOptions = {}): Promise<Replica[]> {
    return await Promise.all(Array.from({ length: count }, () => this.replica(options)));
  }

  async caller(options: CallerOptions = {}): Promise<Caller> {
    const { protocol = "h1", authority = "app.default", outbound, zone, safeOnly = false } = options;
    const mesh: MeshOptions = {
      workload: { name: "caller", ...(zone !== undefined && { zone }) },
      stateDir: this.stateDir,
      admin: false,
      ...(outbound && { outbound: { port: 0, ...outbound } }),
    };
    const base = { protocol, authority, safeOnly };
    const caller =
      this.#client === "sdk"
        ? await Caller.start({ ...base, mesh }, null, options)
        : await this.#callerByShim(mesh, base, options);
    this.#callers.push(caller);
    return caller;
  }

  /** Ids of requests that more than one replica has processed, or one twice, although they are not safe to repeat. */
  processedTwice(): string[] {
    return [...processedIn(this.#logs)].filter(([, count]) => count > 1).map(([id]) => id);
  }

  async close(): Promise<void> {
    await Promise.all(this.#callers.map((caller) => caller.close()));
    await endPrograms();
    rmSync(this.stateDir, { recursive: true, force: true });
  }

  async #callerByShim(mesh: MeshOptions, base: SenderOptions, surroundings: Surroundings): Promise<Caller> {
    const { program, port } = await this.callingShim(mesh, surroundings);
    return await Caller.start({ ...base, proxyPort: port }, program, surroundings);
  }

  /** A shim for a program that only calls, and where that sends. */
  async callingShim(
    mesh: MeshOptions,
    { env = {}, through }: Surroundings = {},
  ): Promise<{ readonly program: Program; readonly port: number }> {
    const file = join(this.stateDir, `caller${this.#shims++}.yaml`);
    // JSON is YAML.
    writeFileSync(file, JSON.stringify(mesh));
    const args = ["shim", "--no-inbound", "--config", file, "--outbound-port", "0"];
    const program = new Program("selvage", args, env, through);
    const [, port] = await program.written(/outbound http:\/\/127\.0\.0\.1:(\d+)/);
    return { program, port: Number(port) };
  }
}

/** A service that is found by a list of addresses. */
export function listed(replicas: readonly { readonly address: string }[], zones: readonly string[] = []) {
  return {
    identity: appIdentity,
    endpoints: replicas.map(({ address }, i) => ({ address, ...(zones[i] !== undefined && { zone: zones[i] }) })),
  };
}
