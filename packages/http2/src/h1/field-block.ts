import { type HeaderList, noHeaders } from "../exchange.js";
import { ConnectionOptions } from "./connection-options.js";
import { FieldLine } from "./field-line.js";
import {
  connectionField,
  contentLengthField,
  cookieField,
  expectField,
  type FieldName,
  hopField,
  hostField,
  isAllowedInTrailers,
  plainField,
  teField,
  transferEncodingField,
  upgradeField,
} from "./field-name.js";
import { isAuthority, parseContentLength } from "./grammar.js";
import type { Http1Limits } from "./limits.js";
import { type Violation, violations } from "./violation.js";

const carriageReturn = 0x0d;
const maxRememberedPlaces = 32;

/** Reads the field lines of a head into itself, and what they say about framing and the connection. */
export class FieldBlock {
  /** Without hop-by-hop fields. */
  headers: HeaderList = noHeaders;
  readonly options = new ConnectionOptions();
  /** -1: not declared. */
  contentLength = -1;
  chunked = false;
  host: string | null = null;
  /** The protocols of `Upgrade` without h2c, which is never passed on (as linkerd2-proxy); empty when there are none. */
  upgrade = "";
  expectContinue = false;
  /** How names were spelled. One map for the connection, since messages on it rarely differ. */
  readonly cases = new Map<string, string>();
  readonly #limits: Http1Limits;
  readonly #line = new FieldLine();
  /** The names of the last heads, by place: what stood there before needn't be looked up in `cases`. */
  readonly #names: FieldName[] = [];
  #lastHost: string | null = null;

  constructor(limits: Http1Limits) {
    this.#limits = limits;
  }

  /** Reads from `at` up to the empty line, which must be there. Same rules for both roles. */
  parse(bytes: Uint8Array, at: number, text: string, offset: number): Violation | null {
    const headers: string[] = [];
    const line = this.#line;
    const maxFields = this.#limits.maxFields;
    this.options.clear();
    this.contentLength = -1;
    this.chunked = false;
    this.host = null;
    this.upgrade = "";
    this.expectContinue = false;
    let fields = 0;
    while (bytes[at] !== carriageReturn) {
      at = line.read(bytes, at, text, offset, this.#names[fields]);
      if (at === 0) return line.violation;
      if (fields >= maxFields) return violations.tooManyFields;
      const { name } = line;
      const { kind, lower } = name;
      if (this.#names[fields] !== name) this.#remember(name, fields);
      fields++;
      if (kind !== plainField) {
        const wrong = this.#special(kind, line.value, headers);
        if (wrong !== null) return wrong;
      } else headers.push(lower, line.value);
    }
    // Anything after it but a line feed would be a second head in the disguise of the first one's end.
    if (bytes[at + 1] !== 0x0a) return violations.lineEnding;
    if (this.chunked && this.contentLength >= 0) return violations.lengthAndEncoding;
    this.headers = this.options.filter(headers);
    return null;
  }

  #remember(name: FieldName, place: number): void {
    if (place < maxRememberedPlaces) this.#names[place] = name;
    const { cases } = this;
    if (cases.size < this.#limits.maxCaseNames && !cases.has(name.lower)) cases.set(name.lower, name.raw);
  }

  #special(kind: number, value: string, headers: string[]): Violation | null {
    switch (kind) {
      case hostField:
        if (this.host !== null) return violations.hostRepeated;
        if (value !== this.#lastHost) {
          if (!isAuthority(value)) return violations.hostInvalid;
          this.#lastHost = value;
        }
        this.host = value;
        headers.push("host", value);
        return null;
      case contentLengthField:
        if (this.contentLength >= 0) return violations.contentLengthRepeated;
        this.contentLength = parseContentLength(value);
        if (this.contentLength < 0) return violations.contentLength;
        headers.push("content-length", value);
        return null;
      case transferEncodingField:
        // Other spellings and lists are where parsers part ways (CVE-2022-32213 to 32215 in llhttp are of this kind).
        if (this.chunked || value !== "chunked") return violations.transferEncoding;
        this.chunked = true;
        return null;
      case connectionField:
        return this.options.add(value) ? null : violations.connection;
      case upgradeField:
        this.#addUpgrade(value);
        return null;
      case teField:
        if (/(?:^|,)[\t ]*trailers[\t ]*(?:,|$)/i.test(value)) headers.push("te", "trailers");
        return null;
      case expectField:
        this.expectContinue = value.toLowerCase() === "100-continue";
        headers.push("expect", value);
        return null;
      case cookieField:
        headers.push("cookie", value);
        return null;
      case hopField:
        return null;
    }
    return null;
  }

  #addUpgrade(value: string): void {
    for (const padded of value.split(",")) {
      const protocol = padded.trim();
      if (protocol === "" || protocol.toLowerCase() === "h2c") continue;
      this.upgrade = this.upgrade === "" ? protocol : `${this.upgrade}, ${protocol}`;
    }
  }
}

/** Reads the field lines of a trailer section, from `at` up to the empty line. Returns the trailers, or what is wrong. */
export function parseTrailers(
  bytes: Uint8Array,
  at: number,
  text: string,
  limits: Http1Limits,
): HeaderList | Violation {
  const line = new FieldLine();
  const trailers: string[] = [];
  while (bytes[at] !== carriageReturn) {
    at = line.read(bytes, at, text, 0, undefined);
    if (at === 0) return line.violation;
    if (trailers.length >= limits.maxTrailerFields * 2) return violations.trailersTooLarge;
    const { lower } = line.name;
    if (!isAllowedInTrailers(lower)) return violations.trailerField;
    trailers.push(lower, line.value);
  }
  return trailers;
}
