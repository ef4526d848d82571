import type { FieldBlock } from "./field-block.js";
import { isAuthority, targetOctets, tokenOctets } from "./grammar.js";
import type { Http1Limits } from "./limits.js";
import { type Violation, violations } from "./violation.js";

/** The first line of a message, read into itself, and what depends on it and the fields together. */
export interface StartLine {
  /** `text` is the line without its end, the same octets as `bytes` from `at` on. */
  parse(bytes: Uint8Array, at: number, text: string): Violation | null;
  check(fields: FieldBlock): Violation | null;
}

const space = 0x20;

/** RFC 9112, section 3. */
export class RequestLine implements StartLine {
  method = "";
  path = "";
  /** Of an absolute-form or authority-form target; else null, and Host tells. */
  authority: string | null = null;
  /** Of an absolute-form target. */
  scheme: "http" | "https" | null = null;
  version: "1.0" | "1.1" = "1.1";
  readonly #maxBytes: number;
  readonly #allowConnect10: boolean;

  constructor(limits: Http1Limits, allowConnect10 = false) {
    this.#maxBytes = limits.maxRequestLineBytes;
    this.#allowConnect10 = allowConnect10;
  }

  parse(bytes: Uint8Array, at: number, text: string): Violation | null {
    if (text.length > this.#maxBytes) return violations.targetTooLong;
    let i = at;
    while (tokenOctets[bytes[i]!] === 1) i++;
    if (i === at || bytes[i] !== space) return violations.method;
    const methodEnd = i - at;
    i++;
    while (targetOctets[bytes[i]!] === 1) i++;
    const targetEnd = i - at;
    if (targetEnd === methodEnd + 1) return violations.target;
    // The line ends after the target: HTTP/0.9, which has no fields and so no framing.
    if (targetEnd === text.length) return violations.requestLine;
    if (bytes[i] !== space) return violations.target;
    const version = text.slice(targetEnd + 1);
    if (version === "HTTP/1.1") this.version = "1.1";
    else if (version === "HTTP/1.0") this.version = "1.0";
    else return /^HTTP\/[0-9](?:\.[0-9])?$/.test(version) ? violations.version : violations.requestLine;
    this.method = text.slice(0, methodEnd);
    return this.#target(text.slice(methodEnd + 1, targetEnd));
  }

  check(fields: FieldBlock): Violation | null {
    if (this.version === "1.0") {
      // RFC 9112, section 6.1: such a message has to be handled as if its framing was faulty.
      if (fields.chunked) return violations.transferEncodingIn10;
    } else if (fields.host === null) {
      return violations.hostMissing;
    }
    if (this.method !== "CONNECT") return null;
    // CONNECT has no body (RFC 9110, section 9.3.6); who reads one anyway, reads the tunnel's first bytes.
    return fields.chunked || fields.contentLength > 0 ? violations.connectBody : null;
  }

  #target(target: string): Violation | null {
    this.scheme = null;
    this.authority = null;
    if (this.method === "CONNECT") return this.#authorityForm(target);
    if (target.charCodeAt(0) === 0x2f) {
      this.path = target;
      return null;
    }
    if (target === "*") {
      this.path = "*";
      return this.method === "OPTIONS" ? null : violations.target;
    }
    return this.#absoluteForm(target);
  }

  #authorityForm(target: string): Violation | null {
    this.authority = target;
    this.path = "";
    if ((this.version !== "1.1" && !this.#allowConnect10) || !isAuthority(target)) return violations.target;
    return /:[0-9]+$/.test(target) ? null : violations.target;
  }

  #absoluteForm(target: string): Violation | null {
    const match = /^(https?):\/\/([^/?]*)(.*)$/i.exec(target);
    if (match === null || !isAuthority(match[2]!)) return violations.target;
    this.scheme = match[1]!.toLowerCase() as "http" | "https";
    this.authority = match[2]!;
    const path = match[3]!;
    // RFC 9112, section 3.2.4: OPTIONS for a URI without path and query means the server itself.
    this.path = path.startsWith("/") ? path : path === "" && this.method === "OPTIONS" ? "*" : `/${path}`;
    return null;
  }
}
