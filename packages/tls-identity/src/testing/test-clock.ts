import type { Schedule } from "../snapshot-source.js";

/** A clock that a test moves. Timers fire in order, each after the promises that the one before it set off have settled. */
export interface TestClock {
  readonly now: () => number;
  readonly schedule: Schedule;
  /** Moves on, firing what falls due. */
  advance(ms: number): Promise<void>;
  /** Instants of the timers that are set. */
  readonly pending: readonly number[];
}

export function createTestClock(start = Date.now()): TestClock {
  let now = start;
  let timers: { readonly at: number; readonly run: () => void }[] = [];
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    now: () => now,
    schedule: (delayMs, run) => {
      const timer = { at: now + delayMs, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    advance: async (ms) => {
      const end = now + ms;
      await settle();
      for (;;) {
        const due = timers.filter((timer) => timer.at <= end).sort((one, other) => one.at - other.at)[0];
        if (due === undefined) break;
        timers = timers.filter((timer) => timer !== due);
        now = Math.max(now, due.at);
        due.run();
        await settle();
      }
      now = end;
      await settle();
    },
    get pending() {
      return timers.map((timer) => timer.at);
    },
  };
}
