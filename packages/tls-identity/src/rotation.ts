import { backoffMs } from "./backoff.js";
import { IdentityError, type IdentityReason } from "./identity-error.js";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import { Listeners } from "./listeners.js";
import { createSnapshot, type SvidMaterial } from "./snapshot.js";
import type { SpiffeId } from "./spiffe-id.js";

/** Runs a function once, later; returns what takes it back. Must not keep the process alive. */
export type Schedule = (delayMs: number, run: () => void) => () => void;

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
  /** Longest wait after a failure. @defaultValue 60000 */
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
  permanent: Object.freeze([
    "dev-in-production",
    "source-options",
    "file-key-exposed",
    "file-write",
    "authority-mismatch",
  ] as const),
});

/** Parts of the lifetime left at which an SVID that was not renewed raises an alarm. */
export const alarmParts: readonly number[] = Object.freeze([0.5, 0.25, 0.1]);

/** A source that renews, and can be told to renew now. */
export interface Rotation extends IdentitySource {
  /** Begins an attempt at once if none is under way, for instance because a file changed. */
  renew(): void;
}

const maxTimerMs = 2 ** 31 - 1;
const minRenewalMs = 50;

const systemSchedule: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, delayMs);
  timer.unref();
  return () => clearTimeout(timer);
};

/**
 * An identity source around a function that obtains SVIDs: renews at half of the lifetime with jitter, retries with backoff, keeps
 * the last good snapshot, checks every SVID before it is published, and raises an alarm (`svid-renewal-late`, through `onFailure`)
 * when only 50, 25 and 10 percent of its time are left and renewal still fails.
 */
export function createRotation(options: RotationOptions): Rotation {
  return new RotatingSource(options);
}

class RotatingSource implements Rotation {
  readonly #options: RotationOptions;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #schedule: Schedule;
  readonly #snapshots = new Listeners<IdentitySnapshot>();
  readonly #failures = new Listeners<Error>();
  readonly #closing = new AbortController();
  #current: IdentitySnapshot | null = null;
  #ready: Promise<IdentitySnapshot>;
  #settle!: { resolve: (snapshot: IdentitySnapshot) => void; reject: (error: Error) => void };
  #failed = 0;
  #underWay = false;
  #again = false;
  #cancelTimer: (() => void) | null = null;
  #cancelAlarm: (() => void) | null = null;

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
    this.#schedule = options.schedule ?? systemSchedule;
    this.#ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Nobody is obliged to wait for readiness.
    this.#ready.catch(() => {});
    this.renew();
  }

  get current(): IdentitySnapshot | null {
    return this.#current;
  }

  ready(): Promise<IdentitySnapshot> {
    return this.#current === null ? this.#ready : Promise.resolve(this.#current);
  }

  subscribe(listener: (snapshot: IdentitySnapshot) => void): () => void {
    return this.#snapshots.add(listener);
  }

  onFailure(listener: (error: Error) => void): () => void {
    return this.#failures.add(listener);
  }

  close(): void {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#cancelTimer?.();
    this.#cancelAlarm?.();
    this.#settle.reject(new IdentityError("source-closed", "the identity source was closed"));
  }

  renew(): void {
    if (this.#closing.signal.aborted) return;
    if (this.#underWay) {
      this.#again = true;
      return;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#underWay = true;
    void this.#attempt().then(() => {
      this.#underWay = false;
      if (!this.#again) return;
      this.#again = false;
      this.renew();
    });
  }

  async #attempt(): Promise<void> {
    const timeoutMs = this.#options.attemptTimeoutMs ?? rotationDefaults.attemptTimeoutMs;
    try {
      const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]);
      const material = await beforeAbort(this.#options.obtain(signal), signal);
      if (this.#closing.signal.aborted) return;
      this.#publish(
        createSnapshot(material, {
          generation: (this.#current?.generation ?? 0) + 1,
          now: this.#now(),
          expected: this.#options.expected,
        }),
      );
    } catch (cause) {
      if (!this.#closing.signal.aborted) this.#fail(cause);
    }
  }

  #publish(snapshot: IdentitySnapshot): void {
    this.#current = snapshot;
    this.#failed = 0;
    this.#wait(this.#renewalDelay(snapshot));
    this.#armAlarm(snapshot, snapshot.notAfter - this.#now(), 0);
    this.#settle.resolve(snapshot);
    this.#snapshots.emit(snapshot);
  }

  #fail(cause: unknown): void {
    const error = cause instanceof Error ? cause : new IdentityError("certify-failed", String(cause), { cause });
    const permanent: readonly string[] = this.#options.permanent ?? rotationDefaults.permanent;
    this.#failed++;
    if (this.#current === null && IdentityError.is(error) && permanent.includes(error.reason))
      this.#settle.reject(error);
    const config = {
      minMs: this.#options.minBackoffMs ?? rotationDefaults.minBackoffMs,
      maxMs: this.#options.maxBackoffMs ?? rotationDefaults.maxBackoffMs,
    };
    this.#wait(backoffMs(this.#failed, config, this.#random()));
    this.#failures.emit(error);
  }

  /** From now, since the SVID may have been under way, or in a file, for a part of its life. */
  #renewalDelay(snapshot: IdentitySnapshot): number {
    const renewAt = this.#options.renewAt ?? rotationDefaults.renewAt;
    const left = snapshot.notAfter - this.#now();
    // Some of the jitter is certain, so that a renewal that works is over before the first alarm.
    return Math.max(minRenewalMs, left * renewAt * (0.98 - this.#random() * 0.18));
  }

  #wait(delayMs: number): void {
    this.#cancelTimer?.();
    if (this.#closing.signal.aborted) return;
    this.#cancelTimer = this.#schedule(Math.min(delayMs, maxTimerMs), () => this.renew());
  }

  /** Parts are of the time that was left when the SVID came, which for one from a file may be less than its lifetime. */
  #armAlarm(snapshot: IdentitySnapshot, leftMs: number, next: number): void {
    this.#cancelAlarm?.();
    this.#cancelAlarm = null;
    const part = alarmParts[next];
    if (part === undefined || this.#closing.signal.aborted) return;
    const delayMs = snapshot.notAfter - leftMs * part - this.#now();
    this.#cancelAlarm = this.#schedule(Math.min(Math.max(0, delayMs), maxTimerMs), () => {
      if (delayMs > maxTimerMs) {
        this.#armAlarm(snapshot, leftMs, next);
        return;
      }
      this.#armAlarm(snapshot, leftMs, next + 1);
      const until = new Date(snapshot.notAfter).toISOString();
      const message = `${Math.round(part * 100)} % left of the SVID of ${snapshot.id}, which ends ${until}`;
      this.#failures.emit(new IdentityError("svid-renewal-late", message));
    });
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
