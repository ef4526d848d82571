import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { until } from "./identity-load.js";
import { listen } from "./meshed-ends.js";

/** Where SPIRE's two programs are: in `SPIRE_BIN`, or in the path. Null: they aren't here. */
export function spirePrograms(): { readonly server: string; readonly agent: string } | null {
  const directories = [process.env["SPIRE_BIN"], ...(process.env["PATH"] ?? "").split(delimiter)];
  const find = (name: string) =>
    directories.map((directory) => (directory ? join(directory, name) : "")).find((path) => path && existsSync(path));
  const server = find("spire-server");
  const agent = find("spire-agent");
  return server && agent ? { server, agent } : null;
}

export const spireTrustDomain = "spire.example";

/** A SPIRE server with as many agents as a test has workloads: by its agent each gets an id of its own, all in one process. */
export class Spire {
  readonly #programs: { readonly server: string; readonly agent: string };
  readonly #directory = mkdtempSync(join(tmpdir(), "spire-"));
  readonly #children: ChildProcess[] = [];
  #port = 0;
  #said = "";

  constructor(programs: { readonly server: string; readonly agent: string }) {
    this.#programs = programs;
  }

  async start(): Promise<void> {
    const probe = createServer();
    this.#port = (await listen(probe)).port;
    await new Promise((resolve) => probe.close(resolve));
    const config = this.#write(
      "server.conf",
      `server {
        bind_address = "127.0.0.1"
        bind_port = "${this.#port}"
        socket_path = "${this.#path("server.sock")}"
        trust_domain = "${spireTrustDomain}"
        data_dir = "${this.#path("server")}"
        log_level = "WARN"
      }
      plugins {
        DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${this.#path("data.sqlite3")}" } }
        KeyManager "memory" { plugin_data {} }
        NodeAttestor "join_token" { plugin_data {} }
      }`,
    );
    this.#spawn(this.#programs.server, ["run", "-config", config]);
    await until(() => this.#server("healthcheck") !== null);
    this.#write("bundle.pem", this.#server("bundle", "show") ?? "");
  }

  /** Starts an agent whose workloads all have one id, with SVIDs of some seconds. Returns its socket, as a URI. */
  async agentFor(name: string, id: string, seconds: number): Promise<string> {
    const token = /Token: (\S+)/.exec(this.#server("token", "generate", "-ttl", "600") ?? "")?.[1] ?? "";
    const socket = this.#path(`${name}.sock`);
    const config = this.#write(
      `${name}.conf`,
      `agent {
        data_dir = "${this.#path(name)}"
        server_address = "127.0.0.1"
        server_port = "${this.#port}"
        socket_path = "${socket}"
        trust_domain = "${spireTrustDomain}"
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
    const parent = `spiffe://${spireTrustDomain}/spire/agent/join_token/${token}`;
    const selector = `unix:uid:${process.getuid?.()}`;
    const entry = ["-parentID", parent, "-spiffeID", id, "-selector", selector, "-x509SVIDTTL", String(seconds)];
    if (this.#server("entry", "create", ...entry) === null) throw new Error(`no entry for ${id}:\n${this.#said}`);
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
