import type { RateLimitDocument } from "./policy-document.js";

/** Whether a request may pass. `scope` names the limit that refused it. */
export interface RateVerdict {
  readonly ok: boolean;
  /** When the same request would pass, in milliseconds. 0 when it passed. */
  readonly retryAfterMs: number;
  readonly scope: "total" | "identity" | null;
}

export interface LocalRateLimitOptions {
  /** A clock that never goes back, in milliseconds. @defaultValue `performance.now` */
  now?: (() => number) | undefined;
  /** Identities that are counted apart at the same time. @defaultValue 10000 */
  maxIdentities?: number | undefined;
}

const passed: RateVerdict = Object.freeze({ ok: true, retryAfterMs: 0, scope: null });

/** Rounding of the clock must not refuse the last request of a burst. */
const roundingMs = 0.001;

/** One quota's state, by the generic cell rate algorithm: the instant at which everything taken will be paid back. */
class Cell {
  readonly intervalMs: number;
  paidBackAtMs = Number.NEGATIVE_INFINITY;
  key = "";
  next: Cell = this;

  constructor(requestsPerSecond: number) {
    this.intervalMs = 1000 / requestsPerSecond;
  }

  /** How long until one more fits into a burst of one second's worth; 0 or less: it fits now. */
  waitMs(nowMs: number): number {
    return Math.max(this.paidBackAtMs, nowMs) + this.intervalMs - 1000 - nowMs - roundingMs;
  }

  take(nowMs: number): void {
    this.paidBackAtMs = Math.max(this.paidBackAtMs, nowMs) + this.intervalMs;
  }
}

/**
 * Local rate limits as Linkerd has them: a quota for all peers together, and one for each identity, which an override
 * replaces. A quota of n requests per second allows bursts of n. Unauthenticated peers share one quota.
 *
 * A request that its identity's quota refuses takes nothing from the total, so that one peer cannot use up what belongs to
 * all. It counts in this process only. Beyond `maxIdentities`, the identity that has the least to pay back of a few is
 * forgotten, so that memory is bounded; an identity may then get its burst anew.
 */
export class LocalRateLimit {
  readonly #now: () => number;
  readonly #maxIdentities: number;
  readonly #total: Cell | null;
  readonly #perIdentity: number;
  readonly #unauthenticated: Cell | null;
  readonly #overrides = new Map<string, Cell>();
  readonly #identities = new Map<string, Cell>();
  /** Where the search for an identity to forget goes on. The cells form a ring. */
  #hand: Cell | null = null;

  constructor(limits: RateLimitDocument, options: LocalRateLimitOptions = {}) {
    this.#now = options.now ?? (() => performance.now());
    this.#maxIdentities = Math.max(1, options.maxIdentities ?? 10_000);
    this.#total = limits.total === undefined ? null : new Cell(limits.total.requestsPerSecond);
    this.#perIdentity = limits.identity?.requestsPerSecond ?? 0;
    this.#unauthenticated = this.#perIdentity === 0 ? null : new Cell(this.#perIdentity);
    for (const override of limits.overrides ?? []) {
      for (const id of override.from) this.#overrides.set(id, new Cell(override.requestsPerSecond));
    }
  }

  /** Takes one request of a peer (`null`: unauthenticated) from the quotas, or says why not and takes nothing. */
  take(peer: string | null): RateVerdict {
    const nowMs = this.#now();
    const total = this.#total;
    const totalWaitMs = total === null ? 0 : total.waitMs(nowMs);
    if (totalWaitMs > 0) return { ok: false, retryAfterMs: totalWaitMs + roundingMs, scope: "total" };
    const identity = this.#cell(peer, nowMs);
    if (identity !== null) {
      const waitMs = identity.waitMs(nowMs);
      if (waitMs > 0) return { ok: false, retryAfterMs: waitMs + roundingMs, scope: "identity" };
      identity.take(nowMs);
    }
    if (total !== null) total.take(nowMs);
    return passed;
  }

  /** Identities that are counted apart now, overrides aside. */
  get identities(): number {
    return this.#identities.size;
  }

  #cell(peer: string | null, nowMs: number): Cell | null {
    if (peer === null) return this.#unauthenticated;
    if (this.#overrides.size > 0) {
      const override = this.#overrides.get(peer);
      if (override !== undefined) return override;
    }
    if (this.#perIdentity === 0) return null;
    return this.#identities.get(peer) ?? this.#remember(peer, nowMs);
  }

  #remember(peer: string, nowMs: number): Cell {
    let cell: Cell;
    if (this.#identities.size < this.#maxIdentities) {
      cell = new Cell(this.#perIdentity);
      if (this.#hand === null) this.#hand = cell;
      else {
        cell.next = this.#hand.next;
        this.#hand.next = cell;
      }
    } else {
      cell = this.#cheapest(nowMs);
      this.#identities.delete(cell.key);
      cell.paidBackAtMs = Number.NEGATIVE_INFINITY;
    }
    cell.key = peer;
    this.#identities.set(peer, cell);
    return cell;
  }

  /** A cell that has nothing to pay back loses nothing by being forgotten; else the next best of eight. */
  #cheapest(nowMs: number): Cell {
    let cell = this.#hand!.next;
    let best = cell;
    for (let i = 0; i < 8 && best.paidBackAtMs > nowMs; i++) {
      cell = cell.next;
      if (cell.paidBackAtMs < best.paidBackAtMs) best = cell;
    }
    this.#hand = best;
    return best;
  }
}
