import type { HeaderCase, HeaderList } from "../exchange.js";
import {
  connectionField,
  contentLengthField,
  cookieField,
  expectField,
  hopField,
  hostField,
  plainField,
  spelledName,
  teField,
  transferEncodingField,
  upgradeField,
  type WrittenName,
  writtenName,
} from "./field-name.js";
import { isFieldValue, parseContentLength } from "./grammar.js";

// Larger values are rarely repeated, and would be kept for ever.
const maxRepeatedLength = 128;

/**
 * Makes field lines of headers, into itself. Framing and connection fields are left out, for whoever writes the head decides on
 * them. Nothing with a line end or another control character in it gets through: that is how responses are split.
 *
 * One for each connection and role: headers that are the same object as before are the same text as before.
 */
export class FieldWriter {
  text = "";
  /** -1: none. */
  contentLength = -1;
  host: string | null = null;
  upgrade = "";
  trailersAccepted = false;
  expectContinue = false;
  /** What is wrong with the headers; else null. */
  fault: string | null = null;
  #headers: HeaderList | null = null;
  #cases: HeaderCase | null = null;
  #cookie = "";

  encode(headers: HeaderList, cases: HeaderCase | null): void {
    if (headers === this.#headers && cases === this.#cases) return;
    this.#headers = headers;
    this.#cases = cases;
    this.contentLength = -1;
    this.host = null;
    this.upgrade = "";
    this.trailersAccepted = false;
    this.expectContinue = false;
    this.fault = null;
    this.#cookie = "";
    let text = "";
    for (let i = 0; i < headers.length; i += 2) {
      const name = written(headers[i]!, cases);
      const value = headers[i + 1]!;
      if (name.kind !== plainField && !this.#special(name, value)) continue;
      text += this.#line(name, value);
    }
    if (this.#cookie !== "") text += this.#line(written("cookie", cases), this.#cookie);
    this.text = text;
  }

  /** The field lines of a trailer section. What may not be in one is left out. `null`: there is a control character in it. */
  trailers(trailers: HeaderList, cases: HeaderCase | null): string | null {
    this.#headers = null;
    this.fault = null;
    let text = "";
    for (let i = 0; i < trailers.length; i += 2) {
      const name = written(trailers[i]!, cases);
      if (name.inTrailers) text += this.#line(name, trailers[i + 1]!);
    }
    return this.fault === null ? text : null;
  }

  #line(name: WrittenName, value: string): string {
    if (value === name.value) return name.line;
    if (!name.valid) this.fault = "a header name that is no token";
    else if (typeof value !== "string" || !isFieldValue(value))
      this.fault = `a value of ${name.prefix}that can't be sent`;
    const line = `${name.prefix}${value}\r\n`;
    if (this.fault === null && name.repeats && value.length <= maxRepeatedLength) {
      name.value = value;
      name.line = line;
    }
    return line;
  }

  /** Whether the field is written like others. */
  #special(name: WrittenName, value: string): boolean {
    switch (name.kind) {
      case hostField:
        if (this.host !== null) this.fault = "more than one host";
        this.host = value;
        return false;
      case contentLengthField:
        if (this.contentLength >= 0) this.fault = "more than one content-length";
        this.contentLength = parseContentLength(value);
        if (this.contentLength < 0) this.fault = "a content-length that is no length";
        return false;
      case upgradeField:
        if (!isFieldValue(value)) this.fault = "a value of Upgrade that can't be sent";
        this.upgrade = this.upgrade === "" ? value : `${this.upgrade}, ${value}`;
        return false;
      case teField:
        if (value === "trailers") this.trailersAccepted = true;
        return false;
      case expectField:
        this.expectContinue = value.toLowerCase() === "100-continue";
        return true;
      case cookieField:
        // HTTP/2 splits it; HTTP/1 has one (RFC 9113, section 8.2.3).
        this.#cookie = this.#cookie === "" ? value : `${this.#cookie}; ${value}`;
        return false;
      case connectionField:
      case hopField:
      case transferEncodingField:
        return false;
    }
    return true;
  }
}

function written(name: string, cases: HeaderCase | null): WrittenName {
  if (cases !== null) {
    const spelled = cases.get(name);
    if (spelled !== undefined) return spelledName(spelled);
  }
  return writtenName(name);
}
