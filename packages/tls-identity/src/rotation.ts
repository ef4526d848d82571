import { backoffMs } from "./backoff.js";
import { IdentityError, type IdentityReason } from "./identity-error.js";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import type { SvidMaterial } from "./snapshot.js";
import { permanentReasons, type Schedule, SnapshotSource } from "./snapshot-source.js";
import type { SpiffeId } from "./spiffe-id.js";

/** How {@link createRotation} works. */
export interface RotationOptions {
  /** Gets a new SVID, with a new key. Its failures are retried. `signal` aborts when the rotation is closed. */
  readonly obtain: (signal: AbortSignal) => Promise<SvidMaterial>;
  /** The id that the SVID must be for. @defaultValue any */
  readonly expected?: SpiffeId | undefined;
  /**
   * Part of the time left after which it is renewed. Up to a fifth of that time is taken off at random, so that the workloads of a
   * deployment do not renew in step.
   *
   * @defaultValue 0.5
   */
  readonly renewAt?: number;
  /** Shortest wait after a failure. @defaultValue 1000 */
  readonly minBackoffMs?: number;
  /** Longest wait after a failure; a sixteenth of the SVID's lifetime, if that is shorter. @defaultValue 60000 */
  readonly maxBackoffMs?: number;
  /** Longest duration of one attempt. @defaultValue 30000 */
  readonly attemptTimeoutMs?: number;
  /** Reasons after which a first attempt is given up and `ready()` rejects. @defaultValue those that need a person */
  readonly permanent?: readonly IdentityReason[];
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link RotationOptions}. */
export const rotationDefaults = Object.freeze({
  renewAt: 0.5,
  minBackoffMs: 1000,
  maxBackoffMs: 60_000,
  attemptTimeoutMs: 30_000,
  permanent: permanentReasons,
});

/** Parts of the lifetime left at which an SVID that was not renewed raises an alarm. */
export const alarmParts: readonly number[] = Object.freeze([0.5, 0.25, 0.1]);

/** A source that renews, and can be told to renew now. */
export interface Rotation extends IdentitySource {
  /** Begins an attempt at once if none is under way, for instance because a file changed. */
  renew(): void;
}

const minRenewalMs = 50;
// A step of the wall clock is noticed after this long.
const checkMs = 10_000;
// Of short-lived SVIDs: several attempts have to fit into what is left.
const backoffPart = 1 / 16;

/**
 * An identity source around a function that obtains SVIDs: renews at half of the lifetime with jitter, retries with backoff, keeps
 * the last good snapshot, checks every SVID before it is published, and raises an alarm (`svid-renewal-late`, through `onFailure`)
 * when only 50, 25 and 10 percent of its time are left and renewal still fails.
 */
export function createRotation(options: RotationOptions): Rotation {
  return new RotatingSource(options);
}

class RotatingSource extends SnapshotSource implements Rotation {
  readonly #options: RotationOptions;
  readonly #random: () => number;
  #failed = 0;
  #underWay = false;
  #again = false;
  #cancelTimer: (() => void) | null = null;

  constructor(options: RotationOptions) {
    super({
      expected: options.expected,
      now: options.now,
      schedule: options.schedule,
      permanent: options.permanent ?? permanentReasons,
      alarmParts,
    });
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.renew();
  }

  override close(): void {
    super.close();
    this.#cancelTimer?.();
  }

  renew(): void {
    if (this.closing.aborted) return;
    if (this.#underWay) {
      this.#again = true;
      return;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#underWay = true;
    void this.#attempt().then((delayMs) => {
      this.#underWay = false;
      if (this.closing.aborted) return;
      if (this.#again) {
        this.#again = false;
        this.renew();
        return;
      }
      this.#renewIn(delayMs, this.now() + delayMs);
    });
  }

  /** When the time has gone by or the wall clock says so: that may jump, and timers stand still while a machine sleeps. */
  #renewIn(delayMs: number, dueAt: number): void {
    const part = Math.min(delayMs, checkMs);
    this.#cancelTimer = this.schedule(part, () => {
      const now = this.now();
      // Before it begins: it was made while a clock was fast, and nobody believes it now that it is right.
      const early = now < (this.current?.notBefore ?? 0);
      if (part === delayMs || now >= dueAt || early) this.renew();
      else this.#renewIn(delayMs - part, dueAt);
    });
  }

  /** Returns how long to wait until the next one. */
  async #attempt(): Promise<number> {
    const timeoutMs = this.#options.attemptTimeoutMs ?? rotationDefaults.attemptTimeoutMs;
    // Not AbortSignal.any: on Node 20 each one leaves something behind on a signal that lives long.
    const abort = new AbortController();
    const closed = () => abort.abort(this.closing.reason);
    this.closing.addEventListener("abort", closed, { once: true });
    const cancelTimeout = this.schedule(timeoutMs, () => {
      abort.abort(new IdentityError("certify-failed", `no SVID within ${timeoutMs} ms`));
    });
    try {
      const material = await beforeAbort(this.#options.obtain(abort.signal), abort.signal);
      if (this.closing.aborted) return 0;
      const snapshot = this.offer(material);
      this.#failed = 0;
      return this.#renewalDelay(snapshot);
    } catch (cause) {
      this.#failed++;
      this.fail(cause);
      const minMs = this.#options.minBackoffMs ?? rotationDefaults.minBackoffMs;
      const maxMs = Math.min(this.#options.maxBackoffMs ?? rotationDefaults.maxBackoffMs, this.#longestWait());
      return backoffMs(this.#failed, { minMs, maxMs: Math.max(minMs, maxMs) }, this.#random());
    } finally {
      cancelTimeout();
      this.closing.removeEventListener("abort", closed);
    }
  }

  #longestWait(): number {
    const { current } = this;
    return current === null ? Number.POSITIVE_INFINITY : (current.notAfter - current.notBefore) * backoffPart;
  }

  /** From now, since the SVID may have been under way for a part of its life. */
  #renewalDelay(snapshot: IdentitySnapshot): number {
    const renewAt = this.#options.renewAt ?? rotationDefaults.renewAt;
    // Some of the jitter is certain, so that a renewal that works is over before the first alarm.
    return Math.max(minRenewalMs, (snapshot.notAfter - this.now()) * renewAt * (0.98 - this.#random() * 0.18));
  }
}

/** Rejects when `signal` aborts, whether or not the promise heeds it. */
function beforeAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
