import { findBareLineFeed } from "./head-parser.js";
import { type Violation, violations } from "./violation.js";

const headEnd = Buffer.from("\r\n\r\n");
const firstBytes = 512;

/** Collects what comes in pieces and ends with an empty line: a head, or a trailer section. Copies, so that no chunk is kept. */
export class HeadBuffer {
  /** Ends with the empty line. */
  complete = false;
  violation: Violation | null = null;
  length = 0;
  readonly #maxBytes: number;
  readonly #tooLarge: Violation;
  #bytes = Buffer.alloc(0);

  constructor(maxBytes: number, tooLarge: Violation) {
    this.#maxBytes = maxBytes;
    this.#tooLarge = tooLarge;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }

  clear(): void {
    this.complete = false;
    this.violation = null;
    this.length = 0;
    this.#bytes = Buffer.alloc(0);
  }

  /** Takes from `chunk`, from `at` on, up to the end if it is there. Returns how many bytes it took. */
  take(chunk: Buffer, at: number): number {
    const before = this.length;
    const wanted = Math.min(chunk.length - at, this.#maxBytes + 1 - before);
    this.#reserve(before + wanted);
    chunk.copy(this.#bytes, before, at, at + wanted);
    this.length = before + wanted;
    // The end may have begun in what came before.
    const end = this.bytes.indexOf(headEnd, Math.max(0, before - 3));
    const seen = end >= 0 ? end + 4 : this.length;
    if (end < 0 || seen > this.#maxBytes) {
      if (findBareLineFeed(this.bytes, 0, before, this.length)) this.violation = violations.lineEnding;
      else if (this.length > this.#maxBytes) this.violation = this.#tooLarge;
      return wanted;
    }
    this.length = seen;
    this.complete = true;
    return seen - before;
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(firstBytes, Math.min(this.#maxBytes + 1, length * 2)));
    this.#bytes.copy(grown, 0, 0, this.length);
    this.#bytes = grown;
  }
}
