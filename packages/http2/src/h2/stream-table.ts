/** What the table needs of a stream. */
export interface Numbered {
  readonly id: number;
}

/** Slots when the first stream comes. */
const firstSlots = 8;
/** Those of all sessions that had no stream yet. */
const noSlots = new Array<null>(1).fill(null);

/**
 * The open streams of a session by id: an array addressed by `id >> 1`, with linear probing. Ids grow by two, so nearly
 * every stream sits in its own slot and an old stream that is still open only makes others step past it. Unlike a Map it
 * leaves no dead tables behind that the collector has to carry along.
 */
export class StreamTable<S extends Numbered> {
  size = 0;
  #slots: (S | null)[] = noSlots;
  #mask = 0;
  /** Streams that are not in their own slot. */
  #displaced = 0;

  get(id: number): S | null {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let at = (id >>> 1) & mask; ; at = (at + 1) & mask) {
      const stream = slots[at]!;
      if (stream === null || stream.id === id) return stream;
      if (this.#displaced === 0) return null;
    }
  }

  add(stream: S): void {
    if (this.size * 2 + 1 >= this.#slots.length) this.#grow();
    this.#put(stream);
    this.size += 1;
  }

  remove(stream: S): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let at = (stream.id >>> 1) & mask;
    if (slots[at] !== stream) {
      if (this.#displaced === 0) return;
      do {
        at = (at + 1) & mask;
        if (slots[at] === null) return;
      } while (slots[at] !== stream);
      this.#displaced -= 1;
    }
    slots[at] = null;
    this.size -= 1;
    if (this.#displaced === 0) return;
    // Those that had to step past the freed slot move up.
    for (let next = (at + 1) & mask; slots[next] !== null; next = (next + 1) & mask) {
      const moved = slots[next]!;
      slots[next] = null;
      if (((moved.id >>> 1) & mask) !== next) this.#displaced -= 1;
      this.#put(moved);
    }
  }

  /** Calls `visit` with each stream and `argument`. Streams may be removed meanwhile. */
  forEach<A>(visit: (stream: S, argument: A) => void, argument: A): void {
    if (this.size === 0) return;
    // Visits may change the table, so a copy is walked; this is done once a second or at the end, never per request.
    for (const stream of this.#slots.slice()) if (stream !== null) visit(stream, argument);
  }

  #put(stream: S): void {
    const slots = this.#slots;
    const mask = this.#mask;
    const home = (stream.id >>> 1) & mask;
    let at = home;
    while (slots[at] !== null) at = (at + 1) & mask;
    slots[at] = stream;
    if (at !== home) this.#displaced += 1;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array(Math.max(firstSlots, old.length * 2)).fill(null);
    this.#mask = this.#slots.length - 1;
    this.#displaced = 0;
    for (const stream of old) if (stream !== null) this.#put(stream);
  }
}
