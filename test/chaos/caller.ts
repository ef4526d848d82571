import type { GeneratorTask } from "./generator.js";
import { calmRate, type LoadSummary } from "./load.js";
import { Program } from "./program.js";
import type { SenderOptions } from "./senders.js";

/** What a process is started in. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  readonly through?: readonly string[];
}

/** A process that sends a load: with the library in it, or by its shim. */
export class Caller {
  /** Null in cells where the library is in the generator. */
  readonly shim: Program | null;
  readonly generator: Program;

  private constructor(generator: Program, shim: Program | null) {
    this.generator = generator;
    this.shim = shim;
  }

  static async start(
    options: SenderOptions,
    shim: Program | null,
    { env = {}, through }: Surroundings = {},
  ): Promise<Caller> {
    const caller = new Caller(new Program("generator", [], env, through), shim);
    await caller.#ask({ what: "begin", options });
    return caller;
  }

  /** A rate that leaves two thirds of the machine free. */
  async calmRate(most: number): Promise<number> {
    return calmRate(most, await this.#ask<number>({ what: "capacity" }));
  }

  drive(perSecond: number, seconds: number): Promise<LoadSummary> {
    return this.#ask<LoadSummary>({ what: "drive", perSecond, seconds });
  }

  /** Ends a load before its time. */
  stop(): void {
    if (this.generator.running) this.generator.process.send("stop");
  }

  async close(): Promise<void> {
    for (const program of [this.generator, this.shim]) {
      if (program === null) continue;
      program.signal("SIGTERM");
      await program.exited;
    }
  }

  #ask<T>(task: GeneratorTask): Promise<T> {
    return this.generator.ask<T>(task as never);
  }
}
