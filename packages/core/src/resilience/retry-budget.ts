import type { RetryBudgetConfig } from "../config/config.js";

/** Finagle's and Linkerd's numbers: 20 % and 10 per second over 10 seconds. */
export const retryBudgetDefaults: RetryBudgetConfig = Object.freeze({ ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 });

const slotCount = 10;

/**
 * Keeps retries from making an overload worse: each exchange puts something in, each retry takes more out, and what was
 * put in expires. A token bucket of ten time slots, as tower's `TpsBudget`.
 */
export class RetryBudget {
  readonly config: RetryBudgetConfig;
  readonly #deposit: number;
  readonly #withdrawal: number;
  readonly #reserve: number;
  readonly #slotMs: number;
  readonly #slots = new Float64Array(slotCount);
  #index = 0;
  #slotStartedAt: number;

  constructor(now: number, config: RetryBudgetConfig = retryBudgetDefaults) {
    const { ratio } = config;
    this.config = config;
    if (ratio === 0) {
      this.#deposit = 0;
      this.#withdrawal = 1;
    } else if (ratio <= 1) {
      this.#deposit = 1;
      this.#withdrawal = Math.floor(1 / ratio);
    } else {
      this.#deposit = 1000;
      this.#withdrawal = Math.floor(1000 / ratio);
    }
    this.#reserve = config.minPerSecond * Math.floor(config.ttlMs / 1000) * this.#withdrawal;
    this.#slotMs = config.ttlMs / slotCount;
    this.#slotStartedAt = now;
  }

  /** An exchange ended without a need for a retry. */
  deposit(now: number): void {
    this.#expire(now);
    this.#slots[this.#index]! += this.#deposit;
  }

  /** Asks for a retry; false when there are too many already. */
  withdraw(now: number): boolean {
    this.#expire(now);
    if (this.#sum() < this.#withdrawal) return false;
    this.#slots[this.#index]! -= this.#withdrawal;
    return true;
  }

  /** Retries that would be allowed now. */
  available(now: number): number {
    this.#expire(now);
    return Math.max(0, Math.floor(this.#sum() / this.#withdrawal));
  }

  #sum(): number {
    let sum = this.#reserve;
    for (let i = 0; i < slotCount; i++) sum += this.#slots[i]!;
    return sum;
  }

  #expire(now: number): void {
    let steps = Math.floor((now - this.#slotStartedAt) / this.#slotMs);
    if (steps <= 0) return;
    this.#slotStartedAt += steps * this.#slotMs;
    for (steps = Math.min(steps, slotCount); steps > 0; steps--) {
      this.#index = (this.#index + 1) % slotCount;
      this.#slots[this.#index] = 0;
    }
  }
}
