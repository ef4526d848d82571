const maxFragments = 64;
const none: Buffer = Buffer.alloc(0);

/** A header block that comes in several frames (RFC 9113, section 4.3). Bounded in bytes and in frames. */
export class HeaderAssembly {
  /** The stream it is for; 0 when none is being assembled. */
  id = 0;
  flags = 0;
  dependsOnItself = false;
  /** The session's clock when it began. */
  since = 0;
  readonly #maxBytes: number;
  #buffer: Buffer = none;
  #bytes = 0;
  #fragments = 0;

  /** A block never needs more than twice what its list counts for, and one frame. */
  constructor(maxHeaderListBytes: number) {
    this.#maxBytes = maxHeaderListBytes * 2 + 16_384;
  }

  begin(id: number, flags: number, dependsOnItself: boolean, clockMs: number): void {
    this.id = id;
    this.flags = flags;
    this.dependsOnItself = dependsOnItself;
    this.since = clockMs;
    this.#bytes = 0;
    this.#fragments = 0;
  }

  /** `false`: too much of it. */
  add(buffer: Buffer, start: number, end: number): boolean {
    const bytes = this.#bytes + end - start;
    this.#fragments += 1;
    if (bytes > this.#maxBytes || this.#fragments > maxFragments) return false;
    if (bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, Math.max(bytes * 2, 1024)));
      this.#buffer.copy(larger, 0, 0, this.#bytes);
      this.#buffer = larger;
    }
    buffer.copy(this.#buffer, this.#bytes, start, end);
    this.#bytes = bytes;
    return true;
  }

  /** Ends the assembly and gives its bytes. */
  take(): Buffer {
    const whole = this.#buffer.subarray(0, this.#bytes);
    this.clear();
    return whole;
  }

  clear(): void {
    this.id = 0;
    this.#buffer = none;
    this.#bytes = 0;
  }
}
