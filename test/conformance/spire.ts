import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { until } from "./identity-load.js";
import { listen } from "./meshed-ends.js";

/** SPIRE's two programs. */
export interface SpirePrograms {
  readonly server: string;
  readonly agent: string;
}

/** Where SPIRE's two programs are: in `SPIRE_BIN`, or in the path. Null: they aren't here. */
export function spirePrograms(): SpirePrograms | null {
  const directories = [process.env["SPIRE_BIN"], ...(process.env["PATH"] ?? "").split(delimiter)];
  const find = (name: string) =>
    directories.map((directory) => (directory ? join(directory, name) : "")).find((path) => path && existsSync(path));
  const server = find("spire-server");
  const agent = find("spire-agent");
  return server && agent ? { server, agent } : null;
}

/** A bundle endpoint of a SPIRE server's, which proves itself by its SVID. */
export interface SpireEndpoint {
  readonly trustDomain: string;
  readonly url: string;
  readonly serverId: string;
  /** The bundle of now, as a document. */
  readonly bundle: string;
}

/** What agents are told about a workload. */
export interface SpireEntry {
  readonly id: string;
  readonly lifetimeSeconds: number;
  /** Trust domains whose bundles the workload gets beside that of its own. */
  readonly federatesWith?: readonly string[];
}

/** A SPIRE server with as many agents as a test has workloads: by its agent each gets an id of its own, all in one process. */
export class Spire {
  readonly trustDomain: string;
  readonly #programs: SpirePrograms;
  readonly #directory = mkdtempSync(join(tmpdir(), "spire-"));
  readonly #children: ChildProcess[] = [];
  #port = 0;
  #endpointPort = 0;
  #said = "";

  constructor(programs: SpirePrograms, trustDomain: string) {
    this.#programs = programs;
    this.trustDomain = trustDomain;
  }

  async start(): Promise<void> {
    this.#port = await freePort();
    this.#endpointPort = await freePort();
    const config = this.#write(
      "server.conf",
      `server {
        bind_address = "127.0.0.1"
        bind_port = "${this.#port}"
        socket_path = "${this.#path("server.sock")}"
        trust_domain = "${this.trustDomain}"
        data_dir = "${this.#path("server")}"
        log_level = "WARN"
        federation {
          bundle_endpoint {
            address = "127.0.0.1"
            port = ${this.#endpointPort}
            profile "https_spiffe" {}
          }
        }
      }
      plugins {
        DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${this.#path("data.sqlite3")}" } }
        KeyManager "memory" { plugin_data {} }
        NodeAttestor "join_token" { plugin_data {} }
      }`,
    );
    this.#spawn(this.#programs.server, ["run", "-config", config]);
    await until(() => this.#server("healthcheck") !== null);
    this.#write("bundle.pem", this.#required("bundle", "show"));
  }

  get endpoint(): SpireEndpoint {
    return {
      trustDomain: this.trustDomain,
      url: `https://127.0.0.1:${this.#endpointPort}/`,
      serverId: `spiffe://${this.trustDomain}/spire/server`,
      bundle: this.#required("bundle", "show", "-format", "spiffe"),
    };
  }

  /** Begins to follow the bundle of another trust domain. */
  federateWith(other: SpireEndpoint): void {
    const { trustDomain, url, serverId, bundle } = other;
    const domain = `spiffe://${trustDomain}`;
    const file = this.#write(`${trustDomain}.json`, bundle);
    const first = ["-trustDomainBundlePath", file, "-trustDomainBundleFormat", "spiffe"];
    const profile = ["-bundleEndpointProfile", "https_spiffe", "-endpointSpiffeID", serverId];
    this.#required("federation", "create", "-trustDomain", domain, "-bundleEndpointURL", url, ...profile, ...first);
  }

  /** Makes a new authority, and signs by it from then on. The old one stays in the bundle. */
  rotateAuthority(): void {
    const id = /Authority ID: (\S+)/.exec(this.#required("localauthority", "x509", "prepare"))?.[1] ?? "";
    this.#required("localauthority", "x509", "activate", "-authorityID", id);
  }

  /** Starts an agent whose workloads all have one id. Returns its socket, as a URI. */
  async agentFor(name: string, workload: SpireEntry): Promise<string> {
    const token = /Token: (\S+)/.exec(this.#required("token", "generate", "-ttl", "600"))?.[1] ?? "";
    const socket = this.#path(`${name}.sock`);
    const config = this.#write(
      `${name}.conf`,
      `agent {
        data_dir = "${this.#path(name)}"
        server_address = "127.0.0.1"
        server_port = "${this.#port}"
        socket_path = "${socket}"
        trust_domain = "${this.trustDomain}"
        trust_bundle_path = "${this.#path("bundle.pem")}"
        join_token = "${token}"
        log_level = "WARN"
      }
      plugins {
        KeyManager "memory" { plugin_data {} }
        NodeAttestor "join_token" { plugin_data {} }
        WorkloadAttestor "unix" { plugin_data {} }
      }`,
    );
    const parent = `spiffe://${this.trustDomain}/spire/agent/join_token/${token}`;
    const selector = ["-selector", `unix:uid:${process.getuid?.()}`];
    const lifetime = ["-x509SVIDTTL", String(workload.lifetimeSeconds)];
    const federated = (workload.federatesWith ?? []).flatMap((domain) => ["-federatesWith", `spiffe://${domain}`]);
    const entry = ["-parentID", parent, "-spiffeID", workload.id, ...selector, ...lifetime, ...federated];
    this.#required("entry", "create", ...entry);
    this.#spawn(this.#programs.agent, ["run", "-config", config]);
    await until(() => existsSync(socket));
    return `unix://${socket}`;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.signalCode === null && child.kill("SIGTERM")) await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #required(...args: string[]): string {
    const said = this.#server(...args);
    if (said === null) throw new Error(`spire-server ${args.join(" ")} failed:\n${this.#said}`);
    return said;
  }

  /** Runs a command of the server's; null if it failed. */
  #server(...args: string[]): string | null {
    const words = [...args, "-socketPath", this.#path("server.sock")];
    const { status, stdout, stderr } = spawnSync(this.#programs.server, words, { encoding: "utf8" });
    if (status !== 0) this.#said += stdout + stderr;
    return status === 0 ? stdout : null;
  }

  #spawn(program: string, args: readonly string[]): void {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#said += text;
      });
    }
    this.#children.push(child);
  }

  #path(name: string): string {
    return join(this.#directory, name);
  }

  #write(name: string, text: string): string {
    writeFileSync(this.#path(name), text);
    return this.#path(name);
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  const { port } = await listen(probe);
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
