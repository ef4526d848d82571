import { readFileSync, writeFileSync } from "node:fs";
import type { Program } from "./program.js";

/** How much memory a process takes more than before, at its largest. Linux only. */
export class Memory {
  readonly #pid: number;
  readonly #before: number;

  constructor({ process: { pid } }: Program) {
    this.#pid = pid!;
    // Forgets the largest until now.
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
    this.#before = this.#read("VmRSS");
  }

  get grownBytes(): number {
    return Math.max(0, this.#read("VmHWM") - this.#before);
  }

  #read(name: string): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)![1]) * 1_024;
  }
}
