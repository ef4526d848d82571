/** Timers as the engine uses them, so that tests can bring their own. */
export interface Ticker {
  /** Calls `tick` every `everyMs` until `clear`, for the first time after at most so long. Must not keep the process alive. */
  set(tick: () => void, everyMs: number): unknown;
  clear(handle: unknown): void;
}

const intervals: Ticker = Object.freeze({
  set: (tick: () => void, everyMs: number) => setInterval(tick, everyMs).unref(),
  clear: (handle: unknown) => clearInterval(handle as NodeJS.Timeout),
});

/** Who ticks at one pace. */
interface Pace {
  readonly ticks: Set<() => void>;
  readonly timer: unknown;
}

/** One timer for all that tick at the same pace: one for each connection would cost memory for as long as it is open. */
export class SharedTicker implements Ticker {
  readonly #timers: Ticker;
  readonly #paces = new Map<number, Pace>();

  constructor(timers: Ticker = intervals) {
    this.#timers = timers;
  }

  set(tick: () => void, everyMs: number): unknown {
    let pace = this.#paces.get(everyMs);
    if (pace === undefined) {
      const ticks = new Set<() => void>();
      const all = () => {
        for (const one of ticks) one();
      };
      pace = { ticks, timer: this.#timers.set(all, everyMs) };
      this.#paces.set(everyMs, pace);
    }
    pace.ticks.add(tick);
    return tick;
  }

  clear(handle: unknown): void {
    for (const [everyMs, { ticks, timer }] of this.#paces) {
      if (!ticks.delete(handle as () => void) || ticks.size > 0) continue;
      this.#timers.clear(timer);
      this.#paces.delete(everyMs);
    }
  }
}
