import { BoundedCache } from "../bounded-cache.js";

/** A token bucket's size. */
export interface RateLimitConfig {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

const maxCallersHalf = 10_000;

/** Token buckets by caller, at most 20,000 of them: who was not seen for that long begins with a full one. */
export class RateLimit {
  readonly #config: RateLimitConfig;
  readonly #buckets = new BoundedCache<string, Bucket>(maxCallersHalf);

  constructor(config: RateLimitConfig) {
    this.#config = config;
  }

  /** Takes one token of the caller's; false if there is none. */
  take(caller: string, now: number): boolean {
    const { burst, perSecond } = this.#config;
    let bucket = this.#buckets.get(caller);
    if (bucket === undefined) {
      bucket = { tokens: burst, at: now };
      this.#buckets.set(caller, bucket);
    }
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
