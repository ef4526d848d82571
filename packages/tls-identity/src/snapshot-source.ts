import { IdentityError, type IdentityReason } from "./identity-error.js";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import { Listeners, warn } from "./listeners.js";
import { createSnapshot, type SvidMaterial } from "./snapshot.js";
import type { SpiffeId } from "./spiffe-id.js";

/** Runs a function once, later; returns what takes it back. Must not keep the process alive. */
export type Schedule = (delayMs: number, run: () => void) => () => void;

const maxTimerMs = 2 ** 31 - 1;

/** `setTimeout` as a {@link Schedule}. */
export const systemSchedule: Schedule = (delayMs, run) => {
  const timer = setTimeout(run, Math.min(Math.max(0, delayMs), maxTimerMs));
  timer.unref();
  return () => clearTimeout(timer);
};

/** How a {@link SnapshotSource} behaves. */
export interface SnapshotSourceOptions {
  readonly expected?: SpiffeId | undefined;
  readonly now?: (() => number) | undefined;
  readonly schedule?: Schedule | undefined;
  /** Reasons that make `ready()` reject as long as there is no snapshot. */
  readonly permanent: readonly string[];
  /** Parts of the time left at which an alarm is raised if nothing new came. */
  readonly alarmParts: readonly number[];
}

/** Reasons that no retry heals, for every source. */
export const permanentReasons: readonly IdentityReason[] = Object.freeze([
  "dev-in-production",
  "source-options",
  "file-key-exposed",
  "file-write",
  "authority-mismatch",
]);

/**
 * The part of an identity source that all sources share: holds the current snapshot, tells whoever listens, and raises the alarms.
 * What feeds it calls `offer` and `fail`.
 */
export class SnapshotSource implements IdentitySource {
  /** Aborts when the source is closed. */
  readonly closing: AbortSignal;
  readonly now: () => number;
  readonly schedule: Schedule;
  readonly #options: SnapshotSourceOptions;
  readonly #abort = new AbortController();
  readonly #failures = new Listeners<Error>(warn);
  readonly #snapshots = new Listeners<IdentitySnapshot>((error) => this.#failures.emit(error as Error));
  readonly #ready: Promise<IdentitySnapshot>;
  #settle!: { resolve: (snapshot: IdentitySnapshot) => void; reject: (error: Error) => void };
  #current: IdentitySnapshot | null = null;
  #cancelAlarm: (() => void) | null = null;

  constructor(options: SnapshotSourceOptions) {
    this.#options = options;
    this.closing = this.#abort.signal;
    this.now = options.now ?? Date.now;
    this.schedule = options.schedule ?? systemSchedule;
    this.#ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Nobody is obliged to wait for readiness.
    this.#ready.catch(() => {});
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
    if (this.closing.aborted) return;
    this.#abort.abort();
    this.#cancelAlarm?.();
    this.#settle.reject(new IdentityError("source-closed", "the identity source was closed"));
  }

  /** Publishes what a source got. Throws {@link IdentityError}, and keeps what it had, if a peer would not believe it. */
  protected offer(material: SvidMaterial): IdentitySnapshot {
    const snapshot = createSnapshot(material, {
      generation: (this.#current?.generation ?? 0) + 1,
      now: this.now(),
      expected: this.#options.expected,
    });
    this.#current = snapshot;
    this.#armAlarm(snapshot, snapshot.notAfter - this.now(), 0);
    this.#settle.resolve(snapshot);
    this.#snapshots.emit(snapshot);
    return snapshot;
  }

  /** Reports a failed attempt. */
  protected fail(cause: unknown): void {
    if (this.closing.aborted) return;
    const error = cause instanceof Error ? cause : new IdentityError("certify-failed", String(cause), { cause });
    if (this.#current === null && IdentityError.is(error) && this.#options.permanent.includes(error.reason)) {
      this.#settle.reject(error);
    }
    this.#failures.emit(error);
  }

  /** Parts are of the time that was left when the SVID came, which for one from a file may be less than its lifetime. */
  #armAlarm(snapshot: IdentitySnapshot, leftMs: number, next: number): void {
    this.#cancelAlarm?.();
    this.#cancelAlarm = null;
    const part = this.#options.alarmParts[next];
    if (part === undefined || this.closing.aborted) return;
    const delayMs = snapshot.notAfter - leftMs * part - this.now();
    this.#cancelAlarm = this.schedule(Math.min(Math.max(0, delayMs), maxTimerMs), () => {
      if (delayMs > maxTimerMs) {
        this.#armAlarm(snapshot, leftMs, next);
        return;
      }
      this.#armAlarm(snapshot, leftMs, next + 1);
      const until = new Date(snapshot.notAfter).toISOString();
      const leftPercent = Math.round(part * 100);
      const message = `${leftPercent} % left of the SVID of ${snapshot.id}, which ends ${until}`;
      this.fail(new IdentityError("svid-renewal-late", message, { leftPercent }));
    });
  }
}
