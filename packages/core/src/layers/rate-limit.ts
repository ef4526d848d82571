import type { Service, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { refuse } from "./refuse.js";

/** Counts requests against quotas. */
export interface RateLimiter {
  /** Takes one request; 0 when it may pass, otherwise the milliseconds after which it might. */
  take(x: MeshExchange): number;
}

/** Refuses what is beyond the local rate limits, and says when to come back. */
export class RateLimitLayer implements Layer {
  readonly name = "rateLimit";
  readonly #limiter: RateLimiter;

  constructor(limiter: RateLimiter) {
    this.#limiter = limiter;
  }

  wrap(inner: Service): Service {
    return new RateLimitService(inner, this.#limiter);
  }
}

class RateLimitService implements Service {
  readonly #inner: Service;
  readonly #limiter: RateLimiter;

  constructor(inner: Service, limiter: RateLimiter) {
    this.#inner = inner;
    this.#limiter = limiter;
  }

  call(x: MeshExchange, sink: Sink): void {
    const waitMs = this.#limiter.take(x);
    if (waitMs <= 0) {
      this.#inner.call(x, sink);
      return;
    }
    x.retryAfterSeconds = Math.ceil(waitMs / 1000);
    refuse(x, sink, meshError("SELVAGE_ERR_RATE_LIMITED", "more requests than the rate limit allows"));
  }
}
