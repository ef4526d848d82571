import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from "node:child_process";
import { describe } from "vitest";

export interface Result {
  /** Null when a signal ended it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Describes what needs a program of somebody else's; skipped with a reason where there is none. */
export function describeWith(
  program: string,
  versionArguments: readonly string[],
  name: string,
  tests: () => void,
): void {
  const { error, status, stdout, stderr } = spawnSync(program, versionArguments, { encoding: "utf8" });
  const found = error === undefined && status === 0;
  const version = `${stdout ?? ""}${stderr ?? ""}`.split("\n")[0]?.trim() ?? "";
  if (!found)
    process.stdout.write(`skipped: ${name}, since ${program} can't be run here (${error?.message ?? version})\n`);
  describe.skipIf(!found)(found ? `${name}: ${version}` : `${name}: no ${program} here`, tests);
}

/** Runs a program to its end. */
export async function execute(
  command: string,
  parameters: readonly string[],
  options: SpawnOptions & { readonly input?: string | Buffer } = {},
): Promise<Result> {
  const { input = "", ...rest } = options;
  const program = new Program(command, parameters, rest);
  program.child.stdin?.end(input);
  return program.ended;
}

/** A program that runs beside the test. */
export class Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Result>;
  stdout = "";
  stderr = "";
  #over = false;
  readonly #detached: boolean;
  readonly #listeners: (() => void)[] = [];

  constructor(command: string, parameters: readonly string[], options: SpawnOptions = {}) {
    this.#detached = options.detached === true;
    this.child = spawn(command, [...parameters], { stdio: "pipe", ...options });
    this.child.stdin?.on("error", () => {});
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", reject);
      this.child.once("close", (status, signal) => {
        this.#over = true;
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr });
        this.#changed();
      });
    });
    this.ended.catch(() => {});
  }

  /** Resolves when its output holds this; rejects when it ended without. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (found !== null) return found;
      if (this.#over) throw new Error(`ended without printing ${pattern}: ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => this.#listeners.push(resolve));
    }
  }

  /** Ends it, if it didn't by itself. One that was started `detached` ends with all that it has started. */
  async stop(): Promise<void> {
    const { pid } = this.child;
    if (!this.#over && pid !== undefined) process.kill(this.#detached ? -pid : pid, "SIGKILL");
    await this.ended.catch(() => {});
  }

  #changed(): void {
    for (const listener of this.#listeners.splice(0)) listener();
  }
}
