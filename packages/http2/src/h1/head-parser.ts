import type { FieldBlock } from "./field-block.js";
import { latin1 } from "./grammar.js";
import type { Http1Limits } from "./limits.js";
import type { StartLine } from "./request-line.js";
import { type Violation, violations } from "./violation.js";

const nothing = new Uint8Array(0);
const headEnd = Buffer.from("\r\n\r\n");
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
// What is made a string before it is known where the head ends. Most heads are smaller; larger ones aren't remembered.
const windowBytes = 1024;
const maxMisses = 4;
const retryAfter = 32;

/**
 * Reads heads of one role. What it read last stays in `line` and `fields`.
 *
 * Peers repeat themselves: a head, or the field lines of a head, that are to the octet what was parsed just before on this
 * connection mean what they meant then, and are not parsed again.
 */
export class HeadParser<Line extends StartLine> {
  readonly line: Line;
  readonly fields: FieldBlock;
  violation: Violation = violations.requestLine;
  readonly #maxBytes: number;
  #lastHead: Uint8Array = nothing;
  #lastFields = "";
  #misses = 0;

  constructor(line: Line, fields: FieldBlock, limits: Http1Limits) {
    this.line = line;
    this.fields = fields;
    this.#maxBytes = limits.maxHeadBytes;
  }

  /** Returns where the head that begins at `at` ends; 0 when its end isn't there yet; -1 when it is refused (`violation`). */
  parse(bytes: Buffer, at: number): number {
    if (this.#repeats(bytes, at)) return at + this.#lastHead.length;
    const limit = bytes.length;
    const windowEnd = limit - at > windowBytes ? at + windowBytes : limit;
    let text = latin1(bytes, at, windowEnd);
    const lineEnd = text.indexOf("\r\n");
    const last = this.#lastFields;
    if (lineEnd > 0 && last !== "" && text.startsWith(last, lineEnd)) {
      this.#misses = 0;
      return this.#parseLine(bytes, at, text, lineEnd, lineEnd + last.length);
    }
    let end = text.indexOf("\r\n\r\n", Math.max(lineEnd, 0)) + 4;
    if (end < 4) {
      if (windowEnd === limit) return 0;
      const found = bytes.indexOf(headEnd, windowEnd - 3);
      if (found < 0) return 0;
      end = found - at + 4;
      if (end > this.#maxBytes) return this.#refuse(violations.headTooLarge, bytes, at, end);
      text = latin1(bytes, at, at + end);
    }
    if (end > this.#maxBytes) return this.#refuse(violations.headTooLarge, bytes, at, end);
    return this.#parseAll(bytes, at, text, text.indexOf("\r\n"), end);
  }

  /** Octets, not text: making a string of them costs more than everything else here. */
  #repeats(bytes: Buffer, at: number): boolean {
    const last = this.#lastHead;
    const { length } = last;
    if (length === 0 || bytes.length - at < length) return false;
    for (let i = 0; i < length; i++) if (last[i] !== bytes[at + i]) return false;
    return true;
  }

  #parseAll(bytes: Buffer, at: number, text: string, lineEnd: number, end: number): number {
    this.#lastHead = nothing;
    this.#lastFields = "";
    const wrong =
      this.line.parse(bytes, at, text.slice(0, lineEnd)) ??
      this.fields.parse(bytes, at + lineEnd + 2, text, at) ??
      this.line.check(this.fields);
    if (wrong !== null) return this.#refuse(wrong, bytes, at, end);
    // Where each head differs (by an id, by a trace), remembering is tried only now and then.
    if (end <= windowBytes && (++this.#misses <= maxMisses || this.#misses % retryAfter === 0)) {
      this.#lastHead = Uint8Array.from(bytes.subarray(at, at + end));
      // A slice would keep the whole window.
      this.#lastFields = latin1(bytes, at + lineEnd, at + end);
    }
    return at + end;
  }

  #parseLine(bytes: Buffer, at: number, text: string, lineEnd: number, end: number): number {
    this.#lastHead = nothing;
    const wrong =
      end > this.#maxBytes
        ? violations.headTooLarge
        : (this.line.parse(bytes, at, text.slice(0, lineEnd)) ?? this.line.check(this.fields));
    if (wrong !== null) return this.#refuse(wrong, bytes, at, end);
    return at + end;
  }

  #refuse(violation: Violation, bytes: Buffer, at: number, end: number): number {
    this.#lastHead = nothing;
    this.#lastFields = "";
    // What comes in pieces is refused at its first bare line feed, since its end may never come. So this is, too.
    const seen = Math.min(end, this.#maxBytes + 1);
    this.violation = findBareLineFeed(bytes, at, at, at + seen) ? violations.lineEnding : violation;
    return -1;
  }
}

/** Whether there is a line feed without a carriage return, looking from `from` to `to` in what begins at `start`. */
export function findBareLineFeed(bytes: Buffer, start: number, from: number, to: number): boolean {
  for (let i = bytes.indexOf(lineFeed, from); i >= 0 && i < to; i = bytes.indexOf(lineFeed, i + 1)) {
    if (i === start || bytes[i - 1] !== carriageReturn) return true;
  }
  return false;
}
