import type { Clock } from "../clock.js";
import { Sweep } from "../sweep.js";
import type { AcceptedConnection } from "./accepted-connection.js";
import { ConnectionList } from "./connection-list.js";

const granularityMs = 50;
// How long before its end a connection drains: at most this, at most a quarter of what is left, and splayed by as much again.
const expiryDrainMs = 30_000;
// A visit may come this much late, and a connection must be gone before the certificate is. At most an eighth of what is left.
const expiryMarginMs = 4 * granularityMs;
// A step of the wall clock is noticed after this long.
const epochCheckMs = 30_000;

export interface ReaperListener {
  /** The deadline of the stage passed. */
  onDeadline(c: AcceptedConnection): void;
}

/** Ends connections that take too long or live too long, all with one timer. */
export class ConnectionReaper {
  readonly list = new ConnectionList();
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #listener: ReaperListener;
  readonly #sweep: Sweep;

  constructor(clock: Clock, random: () => number, listener: ReaperListener) {
    this.#clock = clock;
    this.#random = random;
    this.#listener = listener;
    this.#sweep = new Sweep(clock, granularityMs, (now) => this.#visit(now));
  }

  /** A deadline of one of the connections was set. */
  by(deadline: number): void {
    this.#sweep.by(deadline);
  }

  /** Drains a connection some time before `epochMs`, and destroys it just before. An earlier expiry stays. */
  expireAt(c: AcceptedConnection, epochMs: number): void {
    const now = this.#clock.now();
    const epoch = this.#clock.epoch();
    const endsAt = epochMs - Math.min(expiryMarginMs, Math.max(0, epochMs - epoch) / 8);
    if (!(endsAt < c.expiresAt)) return;
    const left = Math.max(0, endsAt - epoch);
    const lead = Math.min(expiryDrainMs, left / 4);
    c.expiresAt = endsAt;
    c.drainAt = Math.min(c.drainAt, now + left - lead * (1 + this.#random()));
    this.#sweep.by(Math.min(c.drainAt, now + Math.min(left, epochCheckMs)));
  }

  stop(): void {
    this.#sweep.stop();
  }

  #visit(now: number): number {
    const epoch = this.#clock.epoch();
    this.list.forEach((c) => {
      this.#check(c, now, epoch);
    });
    let next = Number.POSITIVE_INFINITY;
    for (let c = this.list.first; c !== null; c = c.next) {
      next = Math.min(next, c.deadline, c.draining ? next : c.drainAt);
      if (c.expiresAt < Number.POSITIVE_INFINITY)
        next = Math.min(next, now + Math.min(c.expiresAt - epoch, epochCheckMs));
    }
    return next;
  }

  #check(c: AcceptedConnection, now: number, epoch: number): void {
    if (epoch >= c.expiresAt) c.destroy();
    else if (now >= c.deadline) {
      c.deadline = Number.POSITIVE_INFINITY;
      this.#listener.onDeadline(c);
    } else if (now >= c.drainAt) c.drain();
  }
}
