import type { Clock } from "../clock.js";

const ageSplay = 0.1;
// How long before its expiry a connection is replaced: at most this, at most a quarter of what is left, splayed by as much again.
const expiryLeadMs = 30_000;
// A visit may come this much late, and a connection must be gone before the certificate is. At most an eighth of what is left.
const expiryMarginMs = 200;
// A step of the wall clock is noticed after this long.
const epochCheckMs = 30_000;

/** How long one connection may live, by its age and by the certificates that opened it. */
export class Lifetime {
  readonly openedAt: number;
  /** When it should be replaced, a time of `Clock.now`. */
  retireAt: number;
  /** When it must be gone, just before the certificates end. Epoch milliseconds. */
  readonly expiresAt: number;

  constructor(clock: Clock, random: () => number, maxAgeMs: number, expiresAt: number) {
    this.openedAt = clock.now();
    this.expiresAt = expiresAt - Math.min(expiryMarginMs, Math.max(0, expiresAt - clock.epoch()) / 8);
    this.retireAt = this.openedAt + maxAgeMs * (1 - ageSplay * random());
    if (expiresAt < Number.POSITIVE_INFINITY) {
      const left = Math.max(0, this.expiresAt - clock.epoch());
      this.retireAt = Math.min(this.retireAt, this.openedAt + left - Math.min(expiryLeadMs, left / 4) * (1 + random()));
    }
  }

  /** When to look at it again, seen from `now`. */
  nextCheck(clock: Clock, now: number): number {
    return Math.min(this.retireAt, this.nextEnd(clock, now));
  }

  /** The same for one that is retired already, and only has to be gone in time. */
  nextEnd(clock: Clock, now: number): number {
    if (this.expiresAt === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    return now + Math.min(this.expiresAt - clock.epoch(), epochCheckMs);
  }
}
