import { readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import type { Kind } from "./meshed-cell.js";
import { Program, programPath } from "./program.js";
import type { Behaviour, Serving } from "./replica.js";
import type { Protocol } from "./senders.js";

export interface ReplicaOptions {
  readonly protocol?: Protocol;
  /** @defaultValue replica */
  readonly program?: "replica" | "receiver";
  /** Of the mesh. @defaultValue a free one */
  readonly port?: number;
  /** @defaultValue 127.0.0.1 */
  readonly host?: string;
  /** Behind a shim, by `selvage run`, as deployments do: it can't be told to behave in some way then. */
  readonly run?: boolean;
  /** With an authority of its own there is no registry to find it in: `port` says where it is. @defaultValue true */
  readonly registers?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly through?: readonly string[];
}

interface Place extends ReplicaOptions {
  readonly stateDir: string;
  readonly log: string;
}

/** A server in a process with the library, or in one behind a shim. */
export class Replica {
  /** `host:port` on which the mesh reaches it. */
  readonly address: string;
  /** Has the mesh in it. */
  readonly meshed: Program;
  /** Null behind `selvage run`, which started it. */
  readonly #app: Program | null;

  private constructor(address: string, meshed: Program, app: Program | null) {
    this.address = address;
    this.meshed = meshed;
    this.#app = app;
  }

  static async start(kind: Kind, place: Place): Promise<Replica> {
    const { program = "replica", protocol = "h1", port = 0, host = "127.0.0.1", stateDir, log, through } = place;
    const env = {
      SELVAGE_STATE_DIR: stateDir,
      SELVAGE_ADMIN: "false",
      SELVAGE_INBOUND_HOST: host,
      CHAOS_LOG: log,
      ...place.env,
    };
    if (kind === "sdk") {
      const meshed = new Program(
        program,
        ["sdk", "app", protocol],
        { ...env, HOST: host, PORT: String(port) },
        through,
      );
      const { ports } = await meshed.message<Serving>();
      const address = place.registers === false ? `${host}:${ports[0]}` : await registered(meshed, stateDir);
      return new Replica(address, meshed, meshed);
    }
    const draining = { ...env, SELVAGE_DRAIN_TIMEOUT: "5s" };
    const flags = ["--name", "app", "--port", String(port), "--outbound-port", "0"];
    if (protocol !== "h1") flags.push("--app-protocol", "h2");
    if (place.run) {
      const command = ["--", process.execPath, programPath(program), "app", "1", protocol];
      const shim = new Program(
        "selvage",
        ["run", ...flags, "--app", String(await freePort()), ...command],
        draining,
        through,
      );
      return new Replica(await registered(shim, stateDir), shim, null);
    }
    const app = new Program(program, ["app", "1", protocol], env, through);
    const { ports } = await app.message<Serving>();
    const shim = new Program("selvage", ["shim", ...flags, "--app", String(ports[0])], draining, through);
    if (place.registers === false) {
      await shim.written(/selvage: ready/);
      return new Replica(`${host}:${port}`, shim, app);
    }
    return new Replica(await registered(shim, stateDir), shim, app);
  }

  /** Resolves when all of it has ended. */
  get exited(): Promise<unknown> {
    return Promise.all([this.meshed.exited, this.#app?.exited]);
  }

  /** To all of its processes. */
  signal(name: NodeJS.Signals): void {
    this.meshed.signal(name);
    if (this.#app !== null && this.#app !== this.meshed) this.#app.signal(name);
  }

  /** As a deployment ends it: the shim drains first. */
  async stop(): Promise<void> {
    for (const program of [this.meshed, this.#app]) {
      program?.signal("SIGTERM");
      await program?.exited;
    }
  }

  behave(behaviour: Behaviour): Promise<unknown> {
    return this.tell({ ...behaviour });
  }

  /** What the app answers to that; nothing if it has ended. */
  async tell<T>(message: Behaviour | string): Promise<T | []> {
    return this.#app?.running === true ? await this.#app.ask<T>(message as never) : [];
  }

  /** How many have reached the app. */
  async requests(): Promise<number> {
    const [count = 0] = await this.tell<number[]>("requests");
    return count;
  }
}

/** Waits until others can find a program, and returns where. */
async function registered(program: Program, stateDir: string): Promise<string> {
  const ours = `${program.process.pid}-`;
  const directory = join(stateDir, "registry");
  while (program.running) {
    const name = entries(directory).find((one) => one.startsWith(ours) && one.endsWith(".json"));
    if (name !== undefined)
      return (JSON.parse(readFileSync(join(directory, name), "utf8")) as { address: string }).address;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the replica ended: ${program.stderr}`);
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
