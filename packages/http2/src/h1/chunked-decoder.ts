import type { HeaderList } from "../exchange.js";
import { parseTrailers } from "./field-block.js";
import { latin1, valueOctets } from "./grammar.js";
import { HeadBuffer } from "./head-buffer.js";
import { findBareLineFeed } from "./head-parser.js";
import type { Http1Limits } from "./limits.js";
import { type Violation, violations } from "./violation.js";

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const semicolon = 0x3b;
const lineEnd = Buffer.from("\r\n");

// Within 2^53, also with leading zeros.
const maxSizeDigits = 13;

const sizeStep = 0;
const extensionStep = 1;
const sizeEndStep = 2;
const dataStep = 3;
const dataFeedStep = 4;
const trailerStep = 5;

const digits = Int8Array.from({ length: 256 }, (_, octet) => {
  const digit = Number.parseInt(String.fromCharCode(octet), 16);
  return Number.isNaN(digit) ? -1 : digit;
});

/** Reads what frames the data of a chunked body (RFC 9112, section 7.1). The data itself is taken by its owner, by `remaining`. */
export class ChunkedDecoder {
  /** Bytes of the present chunk that are still to be taken. Its owner counts it down. */
  remaining = 0;
  done = false;
  violation: Violation | null = null;
  trailers: HeaderList | null = null;
  readonly #limits: Http1Limits;
  readonly #section: HeadBuffer;
  #step = sizeStep;
  #size = 0;
  #digits = 0;
  #extensionBytes = 0;

  constructor(limits: Http1Limits) {
    this.#limits = limits;
    this.#section = new HeadBuffer(limits.maxTrailerBytes, violations.trailersTooLarge);
  }

  /** For the next body. */
  reset(): void {
    this.remaining = 0;
    this.done = false;
    this.violation = null;
    this.trailers = null;
    this.#step = sizeStep;
    this.#size = 0;
    this.#digits = 0;
    this.#extensionBytes = 0;
  }

  /** Reads on from `at`, up to data (`remaining`), to the end of the body (`done`), or to what it refuses. Returns where it stopped. */
  read(bytes: Buffer, at: number): number {
    const end = bytes.length;
    while (at < end) {
      const octet = bytes[at]!;
      switch (this.#step) {
        case sizeStep:
          if (!this.#takeSize(octet)) return at;
          break;
        case extensionStep:
          if (!this.#takeExtension(octet)) return at;
          break;
        case sizeEndStep:
          if (octet !== lineFeed) return this.#refuse(violations.lineEnding, at);
          if (this.#size === 0) {
            this.#step = trailerStep;
            break;
          }
          this.remaining = this.#size;
          this.#step = dataStep;
          return at + 1;
        case dataStep:
          // The owner has taken it all.
          if (octet !== carriageReturn) return this.#refuse(violations.chunkEnd, at);
          this.#step = dataFeedStep;
          break;
        case dataFeedStep:
          if (octet !== lineFeed) return this.#refuse(violations.chunkEnd, at);
          this.#size = 0;
          this.#digits = 0;
          this.#step = sizeStep;
          break;
        default:
          return this.#takeTrailers(bytes, at);
      }
      at++;
    }
    return at;
  }

  #takeSize(octet: number): boolean {
    const digit = digits[octet]!;
    if (digit >= 0) {
      if (++this.#digits > maxSizeDigits) return this.#refused(violations.chunkSize);
      this.#size = this.#size * 16 + digit;
      return true;
    }
    if (this.#digits === 0) return this.#refused(violations.chunkSize);
    if (octet === carriageReturn) this.#step = sizeEndStep;
    else if (octet === semicolon) this.#step = extensionStep;
    // No space before the semicolon: allowed as "bad" whitespace, and read in more than one way.
    else return this.#refused(octet === lineFeed ? violations.lineEnding : violations.chunkSize);
    return true;
  }

  #takeExtension(octet: number): boolean {
    if (octet === carriageReturn) {
      this.#step = sizeEndStep;
      return true;
    }
    if (valueOctets[octet] !== 1) {
      return this.#refused(octet === lineFeed ? violations.lineEnding : violations.chunkExtension);
    }
    if (++this.#extensionBytes > this.#limits.maxChunkExtensionBytes) return this.#refused(violations.chunkExtension);
    return true;
  }

  #takeTrailers(bytes: Buffer, at: number): number {
    const section = this.#section;
    if (section.length === 0) {
      if (bytes[at] === carriageReturn && bytes[at + 1] === lineFeed) {
        this.done = true;
        return at + 2;
      }
      // With the line end of the last chunk before it, a section without fields ends as one with fields does.
      section.take(lineEnd, 0);
    }
    at += section.take(bytes, at);
    if (section.violation !== null) return this.#refuse(section.violation, at);
    if (!section.complete) return at;
    const all = section.bytes;
    const read = parseTrailers(all, 2, latin1(all, 0, all.length), this.#limits);
    if ("reason" in read) {
      this.#refuse(findBareLineFeed(all, 0, 0, all.length) ? violations.lineEnding : read, at);
    } else {
      this.trailers = read.length === 0 ? null : read;
      this.done = true;
    }
    section.clear();
    return at;
  }

  #refused(violation: Violation): false {
    this.violation = violation;
    return false;
  }

  #refuse(violation: Violation, at: number): number {
    this.violation = violation;
    return at;
  }
}
