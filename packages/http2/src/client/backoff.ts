/** The wait between attempts: `minMs * 2^n`, at most `maxMs`, plus up to `jitter` of it at random, never above `maxMs`. */
export interface BackoffOptions {
  /** @defaultValue 100 */
  minMs?: number;
  /** @defaultValue 60000 */
  maxMs?: number;
  /** A ratio. @defaultValue 0.1 */
  jitter?: number;
}

/** As linkerd's for outbound connections. */
export const backoffDefaults = Object.freeze({ minMs: 100, maxMs: 60_000, jitter: 0.1 });

export interface BackoffConfig {
  readonly minMs: number;
  readonly maxMs: number;
  readonly jitter: number;
}

export function resolveBackoff(options: BackoffOptions = {}, path = "backoff"): BackoffConfig {
  const { minMs, maxMs, jitter } = { ...backoffDefaults, ...options };
  if (!(maxMs > 0 && maxMs < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`${path}.maxMs must be above 0 and finite, got ${maxMs}`);
  }
  if (!(minMs >= 0 && minMs <= maxMs)) {
    throw new RangeError(`${path}.minMs must be between 0 and ${path}.maxMs (${maxMs}), got ${minMs}`);
  }
  if (!(jitter >= 0 && jitter <= 100)) throw new RangeError(`${path}.jitter must be between 0 and 100, got ${jitter}`);
  return Object.freeze({ minMs, maxMs, jitter });
}

/** The wait before the attempt after `failures` failed ones (1 or more). `random` is in [0, 1). */
export function backoffMs(config: BackoffConfig, failures: number, random: number): number {
  const base = Math.min(config.minMs * 2 ** (failures - 1), config.maxMs);
  return Math.min(base + base * config.jitter * random, config.maxMs);
}
