import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

export const root = resolve(import.meta.dirname, "../..");

/** How a command ended. `status` is null while it runs, or when a signal ended it. */
export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A directory in the workspace, so that `@selvage/…` are the builds, with a mesh of its own: its processes see no others. What is
 * started in it ends with it.
 */
export class Workspace {
  readonly directory: string;
  readonly env: NodeJS.ProcessEnv;
  readonly #children: ChildProcess[] = [];

  constructor() {
    for (const name of ["core", "http2", "policy", "tls-identity", "proxy-shim"]) {
      if (!existsSync(join(root, "packages", name, "dist/index.js"))) throw new Error("not built: npm run build");
    }
    mkdirSync(join(root, ".cache"), { recursive: true });
    this.directory = mkdtempSync(join(root, ".cache/docs-"));
    mkdirSync(join(this.directory, ".selvage"));
    const offline = pathToFileURL(join(import.meta.dirname, "offline.mjs"));
    const { NODE_ENV: _, ...env } = process.env;
    // Loaded machines start slowly; who waits for a service may wait for longer than by default.
    const patience = { SELVAGE_OUTBOUND_QUEUE_FAIL_FAST: "30s" };
    this.env = { ...env, ...patience, NODE_OPTIONS: `--import=${offline}`, npm_config_offline: "true", NO_COLOR: "1" };
  }

  /** Writes a file of the directory, and returns its path. */
  write(file: string, text: string): string {
    const path = join(this.directory, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Starts a command in a process group of its own. */
  start(command: string, args: readonly string[], more: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Started {
    const child = spawn(command, args, {
      cwd: more.cwd ?? this.directory,
      env: { ...this.env, ...more.env },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.push(child);
    return new Started(child);
  }

  /** Runs a command to its end. */
  async run(
    command: string,
    args: readonly string[],
    more: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ): Promise<Run> {
    return this.start(command, args, more).ended;
  }

  remove(): void {
    for (const { pid } of this.#children) endGroup(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A command that was started. */
export class Started {
  readonly ended: Promise<Run>;
  readonly #child: ChildProcess;
  #stdout = "";
  #stderr = "";
  #wake: (() => void) | null = null;

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text;
      this.#wake?.();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.ended = new Promise((resolve) => {
      child.once("error", (error) => resolve({ status: 127, stdout: this.#stdout, stderr: String(error) }));
      child.once("close", (status) => {
        resolve({ status, stdout: this.#stdout, stderr: this.#stderr });
        this.#wake?.();
      });
    });
  }

  /** Resolves when it printed this. */
  async printed(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`ended without "${text}":\n${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Asks it, and what it started, to end. */
  stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Run> {
    endGroup(this.#child.pid, signal);
    return this.ended;
  }
}

/** Also what is left of a group whose leader has ended. */
function endGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It was gone already.
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export const read = (path: string) => readFileSync(join(root, path), "utf8");

/** Resolves when something accepts connections on a port of this machine, or when nothing did for so long. */
export async function listens(port: number, patienceMs: number): Promise<void> {
  const until = performance.now() + patienceMs;
  while (performance.now() < until) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
