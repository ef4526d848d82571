const none = new Uint8Array(0);
/** Longer ones hold what differs more often than not. */
const longest = 256;
// Where each block differs (by a path, by an id), remembering is tried only now and then.
const maxMisses = 4;
const retryAfter = 32;

/**
 * The octets of the header block that was decoded last, if decoding it left the table as it was. While the table stays so, the same octets
 * mean the same, and whoever still has what they meant need not decode them again.
 */
export class LastBlock {
  #octets: Uint8Array = none;
  #generation = -1;
  /** -1: nothing was decoded yet. What is used once (an idle connection's only request) is not remembered. */
  #misses = -1;

  /** Whether a block is the one that is remembered. `generation` is the table's now. */
  is(buffer: Uint8Array, start: number, end: number, generation: number): boolean {
    const octets = this.#octets;
    const { length } = octets;
    if (length === 0 || length !== end - start || generation !== this.#generation) return false;
    for (let i = 0; i < length; i++) if (octets[i] !== buffer[start + i]) return false;
    this.#misses = 0;
    return true;
  }

  forget(): void {
    this.#octets = none;
  }

  /** Remembers a block in place of the last one, unless that isn't worth it. */
  remember(buffer: Uint8Array, start: number, end: number, generation: number): void {
    this.#octets = none;
    this.#misses += 1;
    const worth = this.#misses > 0 && (this.#misses <= maxMisses || this.#misses % retryAfter === 0);
    if (!worth || start === end || end - start > longest) return;
    this.#octets = Uint8Array.prototype.slice.call(buffer, start, end);
    this.#generation = generation;
  }

  get known(): boolean {
    return this.#octets !== none;
  }
}
