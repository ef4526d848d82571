/** A connection with deadlines. Links of an intrusive list. */
export interface Ticked {
  previousTicked: Ticked | null;
  nextTicked: Ticked | null;
  onTick(): void;
}

const intervalMs = 200;

/**
 * One coarse timer for the deadlines of all connections, since nearly all of them change before they pass. It stops when there are no
 * connections, and doesn't keep the process alive.
 */
class Ticker {
  #first: Ticked | null = null;
  #timer: NodeJS.Timeout | null = null;
  #next: Ticked | null = null;
  readonly #tick = () => {
    // The list may change under the walk; `remove` moves `#next` on.
    for (let ticked = this.#first; ticked !== null; ticked = this.#next) {
      this.#next = ticked.nextTicked;
      ticked.onTick();
    }
  };

  add(ticked: Ticked): void {
    ticked.nextTicked = this.#first;
    if (this.#first !== null) this.#first.previousTicked = ticked;
    this.#first = ticked;
    this.#timer ??= setInterval(this.#tick, intervalMs).unref();
  }

  /** To be called once for each that was added. */
  remove(ticked: Ticked): void {
    const { previousTicked: previous, nextTicked: next } = ticked;
    if (this.#next === ticked) this.#next = next;
    if (previous !== null) previous.nextTicked = next;
    else this.#first = next;
    if (next !== null) next.previousTicked = previous;
    ticked.previousTicked = null;
    ticked.nextTicked = null;
    if (this.#first === null && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }
}

export const ticker = new Ticker();

/** A deadline that costs two stores to set: the next tick finds out what instant it is. Passes up to one tick late. */
export class Deadline {
  #timeoutMs = Number.POSITIVE_INFINITY;
  #at = -1;

  /** Sets it `timeoutMs` from now, instead of what was set. */
  set(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs;
    this.#at = -1;
  }

  clear(): void {
    this.#timeoutMs = Number.POSITIVE_INFINITY;
  }

  /** Whether it has passed; then it is cleared, too. */
  passed(now: number): boolean {
    if (this.#timeoutMs === Number.POSITIVE_INFINITY) return false;
    if (this.#at < 0) this.#at = now + this.#timeoutMs;
    if (now < this.#at) return false;
    this.clear();
    return true;
  }
}
