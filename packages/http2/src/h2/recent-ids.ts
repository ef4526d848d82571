const remembered = 256;

/** The streams we reset last: what the peer had sent before it knew is not held against it (RFC 9113, section 5.4.2). */
export class RecentIds {
  #ids: Uint32Array | null = null;
  #next = 0;

  add(id: number): void {
    this.#ids ??= new Uint32Array(remembered);
    this.#ids[this.#next] = id;
    this.#next = (this.#next + 1) % remembered;
  }

  has(id: number): boolean {
    return this.#ids?.includes(id) ?? false;
  }
}
