const bucketCount = 10;

/** Successes and failures of the last `windowMs`, in ten buckets (as Linkerd's unified breaker). */
export class SuccessRateWindow {
  readonly #bucketMs: number;
  readonly #successes = new Uint32Array(bucketCount);
  readonly #failures = new Uint32Array(bucketCount);
  #index = 0;
  #bucketStartedAt: number;

  constructor(now: number, windowMs: number) {
    this.#bucketMs = Math.max(1, windowMs / bucketCount);
    this.#bucketStartedAt = now;
  }

  record(success: boolean, now: number): void {
    this.#advance(now);
    const buckets = success ? this.#successes : this.#failures;
    buckets[this.#index]!++;
  }

  /** The share of successes, or 1 when fewer than `minRequests` were seen. */
  rate(minRequests: number, now: number): number {
    this.#advance(now);
    let successes = 0;
    let failures = 0;
    for (let i = 0; i < bucketCount; i++) {
      successes += this.#successes[i]!;
      failures += this.#failures[i]!;
    }
    const total = successes + failures;
    return total === 0 || total < minRequests ? 1 : successes / total;
  }

  clear(now: number): void {
    this.#successes.fill(0);
    this.#failures.fill(0);
    this.#bucketStartedAt = now;
  }

  #advance(now: number): void {
    let steps = Math.floor((now - this.#bucketStartedAt) / this.#bucketMs);
    if (steps <= 0) return;
    this.#bucketStartedAt += steps * this.#bucketMs;
    for (steps = Math.min(steps, bucketCount); steps > 0; steps--) {
      this.#index = (this.#index + 1) % bucketCount;
      this.#successes[this.#index] = 0;
      this.#failures[this.#index] = 0;
    }
  }
}
