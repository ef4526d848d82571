import type { ExchangeError } from "../exchange-error.js";
import { type BackoffConfig, backoffMs } from "./backoff.js";

/** How the last attempts to connect went, and when the next one may be. */
export class ConnectBackoff {
  /** What requests that come too early fail with. */
  lastError: ExchangeError | null = null;
  /** A time of `Clock.now`. */
  retryAt = 0;
  readonly #config: BackoffConfig;
  readonly #random: () => number;
  #failures = 0;

  constructor(config: BackoffConfig, random: () => number) {
    this.#config = config;
    this.#random = random;
  }

  failed(error: ExchangeError, now: number): void {
    this.#failures++;
    this.lastError = error;
    this.retryAt = now + backoffMs(this.#config, this.#failures, this.#random());
  }

  /** An attempt succeeded, or what the failures say holds no longer. */
  reset(): void {
    this.#failures = 0;
    this.lastError = null;
    this.retryAt = 0;
  }

  /** Why there may be no attempt now. */
  refusal(now: number): ExchangeError | null {
    return now < this.retryAt ? this.lastError : null;
  }
}
