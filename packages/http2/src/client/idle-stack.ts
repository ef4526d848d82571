import type { PooledConnection } from "./pooled-connection.js";

/** Idle connections, last in first out, as an intrusive list, since any of them may close at any time. */
export class IdleStack {
  size = 0;
  /** The one that is idle longest. */
  oldest: PooledConnection | null = null;
  #newest: PooledConnection | null = null;

  push(c: PooledConnection): void {
    c.idle = true;
    c.olderIdle = this.#newest;
    if (this.#newest === null) this.oldest = c;
    else this.#newest.newerIdle = c;
    this.#newest = c;
    this.size++;
  }

  pop(): PooledConnection | null {
    const newest = this.#newest;
    if (newest !== null) this.remove(newest);
    return newest;
  }

  remove(c: PooledConnection): void {
    if (!c.idle) return;
    if (c.olderIdle === null) this.oldest = c.newerIdle;
    else c.olderIdle.newerIdle = c.newerIdle;
    if (c.newerIdle === null) this.#newest = c.olderIdle;
    else c.newerIdle.olderIdle = c.olderIdle;
    c.idle = false;
    c.olderIdle = null;
    c.newerIdle = null;
    this.size--;
  }
}
