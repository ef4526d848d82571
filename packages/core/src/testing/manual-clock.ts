import type { Clock } from "../runtime/clock.js";

interface ManualTimer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #now: number;
  readonly #epoch: number;
  #timers: ManualTimer[] = [];

  constructor(now = 1_000_000, epoch = 1_700_000_000_000) {
    this.#now = now;
    this.#epoch = epoch - now;
  }

  now(): number {
    return this.#now;
  }

  epoch(): number {
    return this.#epoch + this.#now;
  }

  setTimer(callback: () => void, delayMs: number): unknown {
    const timer: ManualTimer = { at: this.#now + Math.max(0, delayMs), callback };
    this.#timers.push(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Moves time, and calls what is due on the way, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.clearTimer(due);
      this.#now = Math.max(this.#now, due.at);
      due.callback();
    }
    this.#now = end;
  }

  /** Moves time without calling anything: what a blocked event loop looks like. */
  jump(ms: number): void {
    this.#now += ms;
  }
}
