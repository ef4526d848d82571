import { type ChildProcess, fork, type Serializable } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");
const directory = join(root, "test-results/chaos-programs");

// tsup brings it along.
const { build } = createRequire(createRequire(import.meta.url).resolve("tsup"))("esbuild") as {
  build(options: object): Promise<unknown>;
};

const sources = {
  replica: "test/chaos/replica.ts",
  generator: "test/chaos/generator.ts",
  receiver: "test/chaos/receiver.ts",
  uploader: "test/chaos/uploader.ts",
  selvage: "packages/proxy-shim/src/cli.ts",
} as const;

export type ProgramName = keyof typeof sources;

let bundled: Promise<unknown> | null = null;

/** Makes programs of the sources, so that the processes under test are what stands in the repository. Once. */
export function bundle(): Promise<unknown> {
  mkdirSync(directory, { recursive: true });
  bundled ??= build({
    absWorkingDir: root,
    entryPoints: sources,
    outdir: directory,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["selvage-source"],
    external: ["@opentelemetry/api", "@grpc/grpc-js", "undici", "yaml", "node-forge", "zod"],
    // For what is CommonJS and bundled.
    banner: { js: 'import { createRequire as __cr } from "node:module"; const require = __cr(import.meta.url);' },
    logLevel: "error",
  });
  return bundled;
}

export function programPath(name: ProgramName): string {
  return join(directory, `${name}.mjs`);
}

/** A program of ours in a process of its own. */
export class Program {
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  #running = true;
  #stderr = "";

  /** `through`: a command that starts others in other surroundings, as nsenter does. */
  constructor(
    name: ProgramName,
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    through: readonly string[] = [],
  ) {
    const [execPath, ...execArgv] = [...through, process.execPath];
    this.process = fork(programPath(name), args, {
      env: { ...process.env, ...env },
      execPath: execPath!,
      execArgv,
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    programs.add(this);
    this.process.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    this.exited = new Promise((resolve) =>
      this.process.once("exit", (code) => {
        this.#running = false;
        programs.delete(this);
        resolve(code);
      }),
    );
  }

  get running(): boolean {
    return this.#running;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The next message that the program sends. */
  message<T>(): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`the program ended before it said anything: ${this.#stderr}`));
      this.process.once("exit", ended);
      this.process.once("message", (message) => {
        this.process.off("exit", ended);
        resolve(message as T);
      });
    });
  }

  /** Sends a message and waits for the answer. */
  ask<T>(message: Serializable): Promise<T> {
    const answer = this.message<T>();
    this.process.send(message);
    return answer;
  }

  /** Resolves when the program has written this to standard error, with the match. */
  async written(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stderr);
      if (match !== null) return match;
      if (!this.#running) throw new Error(`the program ended: ${this.#stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  signal(name: NodeJS.Signals): void {
    this.process.kill(name);
  }
}

const programs = new Set<Program>();

/** Ends what a test has left running. */
export async function endPrograms(): Promise<void> {
  const all = [...programs];
  for (const program of all) {
    program.signal("SIGCONT");
    program.signal("SIGKILL");
  }
  await Promise.all(all.map((program) => program.exited));
}

/** How often each id stands in the logs that servers have written while they processed requests. */
export function processedIn(files: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const file of files) {
    if (!existsSync(file)) continue;
    for (const id of readFileSync(file, "utf8").split("\n")) {
      if (id !== "") counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return counts;
}
