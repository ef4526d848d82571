/** Waits between failed attempts. */
export interface BackoffConfig {
  readonly minMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait after `failures` failures in a row (1 or more): doubling from `minMs` up to `maxMs`, of which a random half is
 * taken off, so that many workloads do not come back at once. `random` is in [0, 1).
 */
export function backoffMs(failures: number, config: BackoffConfig, random: number): number {
  const full = Math.min(config.maxMs, config.minMs * 2 ** Math.min(failures - 1, 30));
  return full * (1 - random / 2);
}
