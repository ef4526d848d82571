/** Time as the engine's slow paths see it. Injected in tests. */
export interface Clock {
  /** Monotonic milliseconds: for durations, which a step of the wall clock must not change. */
  now(): number;
  /** Milliseconds since the epoch: for the validity of certificates. */
  epoch(): number;
  /** Calls back once, no sooner than after `delayMs`. A waiting timer doesn't keep the process alive. */
  setTimer(callback: () => void, delayMs: number): unknown;
  clearTimer(timer: unknown): void;
}

export const systemClock: Clock = Object.freeze({
  now: () => performance.now(),
  epoch: () => Date.now(),
  setTimer: (callback: () => void, delayMs: number) => setTimeout(callback, delayMs).unref(),
  clearTimer: (timer: unknown) => clearTimeout(timer as NodeJS.Timeout),
});
