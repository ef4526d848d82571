import type { BackoffConfig } from "../config/config.js";
import type { Random } from "../runtime/random.js";

/**
 * The wait before the `n`th repetition, from 0: `min · 2ⁿ` up to `max`, plus jitter, never above `max` (Linkerd's
 * `exp-backoff`).
 */
export function backoffMs(config: BackoffConfig, n: number, random: Random): number {
  const base = Math.min(config.minMs * 2 ** n, config.maxMs);
  return Math.min(base + random() * base * config.jitter, config.maxMs);
}
