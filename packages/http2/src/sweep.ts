import type { Clock } from "./clock.js";

// setTimeout fires at once when given more than 2^31-1 ms; a visit that comes too early costs nothing.
const longestMs = 3_600_000;

/**
 * One timer for many deadlines that nearly always change before they pass: it visits all of them at the earliest one, and
 * asks for the next. Setting a later deadline is one comparison. A visit is never closer than `granularityMs` to the moment
 * it was asked for, so that deadlines which are all different don't mean a visit each.
 */
export class Sweep {
  readonly #clock: Clock;
  readonly #granularityMs: number;
  readonly #visit: (now: number) => number;
  readonly #fire = () => this.#onTimer();
  #timer: unknown = null;
  #at = Number.POSITIVE_INFINITY;

  /** `visit` handles what is due at `now` (of `Clock.now`) and returns the earliest deadline that is left, or Infinity. */
  constructor(clock: Clock, granularityMs: number, visit: (now: number) => number) {
    this.#clock = clock;
    this.#granularityMs = granularityMs;
    this.#visit = visit;
  }

  /** Makes sure that there is a visit soon after `at`, a time of `Clock.now`. */
  by(at: number): void {
    if (at >= this.#at || !(at < Number.POSITIVE_INFINITY)) return;
    const now = this.#clock.now();
    const due = Math.max(at, now + this.#granularityMs);
    if (due >= this.#at) return;
    this.#clear();
    this.#at = due;
    this.#timer = this.#clock.setTimer(this.#fire, Math.ceil(Math.min(due - now, longestMs)));
  }

  stop(): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#timer !== null) this.#clock.clearTimer(this.#timer);
    this.#timer = null;
    this.#at = Number.POSITIVE_INFINITY;
  }

  #onTimer(): void {
    this.#timer = null;
    this.#at = Number.POSITIVE_INFINITY;
    this.by(this.#visit(this.#clock.now()));
  }
}
