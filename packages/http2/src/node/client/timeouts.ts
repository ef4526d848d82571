/** Something that may time out. At most one timeout runs for it at a time. The fields belong to {@link Timeouts}. */
export abstract class Timed {
  timedQueue: TimeoutQueue | null = null;
  timedPrevious: Timed | null = null;
  timedNext: Timed | null = null;
  timedAt = 0;

  abstract onTimeout(): void;
}

/** All that wait for the same duration, so that the list is in the order of their deadlines. */
class TimeoutQueue {
  readonly durationMs: number;
  first: Timed | null = null;
  last: Timed | null = null;
  armed = false;

  constructor(durationMs: number) {
    this.durationMs = durationMs;
  }

  append(entry: Timed): void {
    entry.timedQueue = this;
    entry.timedPrevious = this.last;
    if (this.last === null) this.first = entry;
    else this.last.timedNext = entry;
    this.last = entry;
  }

  remove(entry: Timed): void {
    const { timedPrevious: previous, timedNext: next } = entry;
    if (previous === null) this.first = next;
    else previous.timedNext = next;
    if (next === null) this.last = previous;
    else next.timedPrevious = previous;
    entry.timedQueue = null;
    entry.timedPrevious = null;
    entry.timedNext = null;
  }
}

export type { TimeoutQueue };

function startUnreferencedTimer(callback: () => void, delayMs: number): void {
  setTimeout(callback, delayMs).unref();
}

const maxTimerMs = 2 ** 31 - 1;

/**
 * Timeouts of many requests on few timers: one timer for each duration in use. Durations are rounded up by at most 1/16,
 * which bounds how many there can be. A timeout does not keep the process alive.
 */
export class Timeouts {
  readonly #queues = new Map<number, TimeoutQueue>();
  readonly #now: () => number;
  readonly #startTimer: (callback: () => void, delayMs: number) => void;

  constructor(
    now: () => number = () => performance.now(),
    startTimer: (callback: () => void, delayMs: number) => void = startUnreferencedTimer,
  ) {
    this.#now = now;
    this.#startTimer = startTimer;
  }

  /** Starts the entry's timeout anew. `durationMs` 0 only stops it. */
  start(entry: Timed, durationMs: number): void {
    this.stop(entry);
    if (durationMs <= 0) return;
    const queue = this.#queueFor(durationMs);
    entry.timedAt = this.#now() + queue.durationMs;
    queue.append(entry);
    if (!queue.armed) this.#arm(queue, queue.durationMs);
  }

  /** Starts the timeout that runs for the entry anew, if one does. */
  refresh(entry: Timed): void {
    const queue = entry.timedQueue;
    if (queue === null) return;
    queue.remove(entry);
    entry.timedAt = this.#now() + queue.durationMs;
    queue.append(entry);
  }

  stop(entry: Timed): void {
    entry.timedQueue?.remove(entry);
  }

  #queueFor(durationMs: number): TimeoutQueue {
    const grain = Math.max(1, 2 ** (Math.floor(Math.log2(Math.max(durationMs, 1))) - 4));
    const rounded = Math.min(Math.ceil(durationMs / grain) * grain, maxTimerMs);
    let queue = this.#queues.get(rounded);
    if (queue === undefined) {
      queue = new TimeoutQueue(rounded);
      this.#queues.set(rounded, queue);
    }
    return queue;
  }

  #arm(queue: TimeoutQueue, delayMs: number): void {
    queue.armed = true;
    this.#startTimer(() => this.#expire(queue), Math.max(1, Math.ceil(delayMs)));
  }

  #expire(queue: TimeoutQueue): void {
    queue.armed = false;
    const now = this.#now();
    for (let entry = queue.first; entry !== null && entry.timedAt <= now; entry = queue.first) {
      queue.remove(entry);
      entry.onTimeout();
    }
    if (queue.first !== null && !queue.armed) this.#arm(queue, queue.first.timedAt - now);
  }
}

/** The timeouts of everything in this process that doesn't bring its own. */
export const sharedTimeouts = new Timeouts();
