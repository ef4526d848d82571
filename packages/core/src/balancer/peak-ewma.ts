import type { BalancerConfig } from "../config/config.js";

export type PeakEwmaConfig = Pick<BalancerConfig, "defaultRttMs" | "decayMs">;

/** Linkerd's numbers. */
export const peakEwmaDefaults: PeakEwmaConfig = Object.freeze({ defaultRttMs: 30, decayMs: 10_000 });

/**
 * How loaded an endpoint is: its latency, that rises at once with a slow answer and decays slowly without one, times the
 * exchanges it has (finagle; the mathematics are those of tower's `PeakEwma`, which Linkerd uses).
 */
export class PeakEwma {
  readonly #decayMs: number;
  #estimateMs: number;
  #updatedAt: number;
  #pending = 0;

  constructor(now: number, config: PeakEwmaConfig = peakEwmaDefaults) {
    this.#estimateMs = config.defaultRttMs;
    this.#decayMs = config.decayMs;
    this.#updatedAt = now;
  }

  /** Exchanges that have begun and have not answered. */
  get pending(): number {
    return this.#pending;
  }

  /** The estimate as of its last update. */
  get estimateMs(): number {
    return this.#estimateMs;
  }

  /** The load now. Reading lets the estimate decay towards zero, so that an idle endpoint gets another chance. */
  load(now: number): number {
    this.#record(0, now);
    return this.#estimateMs * (this.#pending + 1);
  }

  start(): void {
    this.#pending++;
  }

  /** An exchange answered after `latencyMs`. */
  finish(latencyMs: number, now: number): void {
    this.#pending--;
    this.#record(latencyMs, now);
  }

  /** An exchange was given up after `elapsedMs`: the answer would have taken longer, so it counts only as a peak. */
  giveUp(elapsedMs: number, now: number): void {
    this.#pending--;
    // What is estimated now, not what was when somebody last asked.
    this.#record(0, now);
    if (elapsedMs > this.#estimateMs) this.#record(elapsedMs, now);
  }

  #record(latencyMs: number, now: number): void {
    const elapsedMs = now - this.#updatedAt;
    if (this.#estimateMs < latencyMs) {
      this.#estimateMs = latencyMs;
    } else if (elapsedMs > 0) {
      const weight = Math.exp(-elapsedMs / this.#decayMs);
      this.#estimateMs = this.#estimateMs * weight + latencyMs * (1 - weight);
    }
    if (elapsedMs > 0) this.#updatedAt = now;
  }
}
