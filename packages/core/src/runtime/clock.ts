// The global `performance` is a getter, that costs more than reading the clock.
import { performance } from "node:perf_hooks";

/** Where time comes from, and timers with it. Injected everywhere, so that tests own it. The engine's clock has this shape too. */
export interface Clock {
  /** Monotonic milliseconds, with fractions, since some fixed instant: for durations. */
  now(): number;
  /** Milliseconds since the Unix epoch. Jumps when the machine's clock is set: for dates. */
  epoch(): number;
  /** Calls back once, no sooner than after `delayMs`. Does not keep the process alive. */
  setTimer(callback: () => void, delayMs: number): unknown;
  clearTimer(timer: unknown): void;
}

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  epoch: () => Date.now(),
  setTimer: (callback: () => void, delayMs: number) => setTimeout(callback, delayMs).unref(),
  clearTimer: (timer: unknown) => clearTimeout(timer as NodeJS.Timeout),
});
