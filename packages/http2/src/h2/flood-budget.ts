import type { Protection } from "./limits.js";

/** What a peer can make us do for next to nothing, and therefore only so often. */
export const spent = Object.freeze({
  /** It reset a stream that was open. */
  reset: 0,
  /** It made us reset a stream (CVE-2025-8671). */
  localReset: 1,
  ping: 2,
  settings: 3,
  /** DATA, HEADERS or CONTINUATION with nothing in it. */
  emptyFrame: 4,
  windowUpdate: 5,
  priority: 6,
  unknownFrame: 7,
  /** A frame for a stream that is gone. */
  closedStream: 8,
} as const);

const reasons: readonly Protection[] = [
  "reset-flood",
  "made-you-reset",
  "ping-flood",
  "settings-flood",
  "empty-frame-flood",
  "window-update-flood",
  "priority-flood",
  "unknown-frame-flood",
  "closed-stream-flood",
];

// At once, and again per second. Generous: timeouts of a busy caller are resets too, and gRPC pings to measure bandwidth.
const bursts: readonly number[] = [1000, 500, 1000, 100, 200, 4000, 400, 500, 4000];
const perSecond: readonly number[] = [200, 50, 500, 10, 20, 500, 20, 50, 500];

/** Half a token more, which buys nothing: V8 keeps numbers that aren't whole without an object each, from the start. */
const full: readonly number[] = bursts.map((burst) => burst + 0.5);

const most = 1e9;

/** Token buckets, one for each kind of frame that costs us more than the peer. Refilled by the session's coarse clock. */
export class FloodBudget {
  // No typed array: its memory is outside of the heap, and three times as much for nine numbers.
  readonly #tokens = full.slice();

  /** Takes one; `null` while there is some left, else the name of the defence. */
  spend(kind: number): Protection | null {
    const left = this.#tokens[kind]! - 1;
    this.#tokens[kind] = left;
    return left >= 0 ? null : reasons[kind]!;
  }

  /** Allows more of a kind because of what else is going on. */
  earn(kind: number, count: number): void {
    const tokens = this.#tokens[kind]!;
    if (tokens < most) this.#tokens[kind] = tokens + count;
  }

  refill(elapsedMs: number): void {
    for (let kind = 0; kind < bursts.length; kind += 1) {
      const tokens = this.#tokens[kind]!;
      const burst = bursts[kind]!;
      if (tokens < burst) this.#tokens[kind] = Math.min(burst, tokens + (perSecond[kind]! * elapsedMs) / 1000);
    }
  }
}
