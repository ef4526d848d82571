import { type HeaderName, nameKind } from "./header-name.js";
import type { FieldSink } from "./hpack-decoder.js";
import { LastBlock } from "./last-block.js";
import { isAuthority, isMethod, isPath, isToken } from "./request-target.js";

/** What a block is the head, or the tail, of. */
export const blockRole = Object.freeze({ request: 0, response: 1, trailers: 2 } as const);

const digits = /^[0-9]{1,15}$/;
const cookieJoint = "; ";

/** Bits of `#seen`, by kind of pseudo-header. */
const bit = (kind: number) => 1 << kind;
const requestPseudo =
  bit(nameKind.method) | bit(nameKind.scheme) | bit(nameKind.authority) | bit(nameKind.path) | bit(nameKind.protocol);

/**
 * A header block while it is decoded, and its judgement (RFC 9113, section 8): pseudo-headers apart, cookies joined,
 * what is malformed named. Used again for each block of its session; `headers` is new each time, for the exchange, unless the same octets came
 * again.
 */
export class HeaderBlock implements FieldSink {
  method = "";
  scheme = "";
  authority = "";
  path = "";
  protocol = "";
  status = 0;
  /** `null` when there is none. Also among `headers`, until `dropHost`. */
  host: string | null = null;
  origProto: string | null = null;
  /** -1 when there is none. */
  contentLength = -1;
  headers: string[] = [];
  /** Why the message is malformed, or `null`. */
  fault: string | null = null;
  /** The list is longer than allowed; what came after is not kept. */
  tooLong: "" | "header-bytes" | "header-pairs" = "";

  readonly #maxBytes: number;
  readonly #maxPairs: number;
  #role: number = blockRole.request;
  #seen = 0;
  #bytes = 0;
  #pairs = 0;
  #cookieAt = -1;
  #hostAt = -1;
  #sawHeader = false;
  #judged = false;
  readonly #last = new LastBlock();

  constructor(maxBytes: number, maxPairs: number) {
    this.#maxBytes = maxBytes;
    this.#maxPairs = maxPairs;
  }

  /**
   * Whether these octets are what this block was made of last, and mean what they meant then, so that all of it still stands. Nothing that had a
   * fault stands, and nothing that whoever took it added to.
   */
  repeats(role: number, buffer: Uint8Array, start: number, end: number, generation: number): boolean {
    return (
      this.fault === null &&
      this.#role === role &&
      this.protocol === "" &&
      this.#last.is(buffer, start, end, generation)
    );
  }

  /** It was decoded from these octets, which left the table as it is. */
  remember(buffer: Uint8Array, start: number, end: number, generation: number): void {
    if (this.fault === null && this.tooLong === "") this.#last.remember(buffer, start, end, generation);
  }

  begin(role: number): void {
    this.#last.forget();
    this.#role = role;
    this.method = "";
    this.scheme = "";
    this.authority = "";
    this.path = "";
    this.protocol = "";
    this.status = 0;
    this.host = null;
    this.origProto = null;
    this.contentLength = -1;
    this.headers = [];
    this.fault = null;
    this.tooLong = "";
    this.#seen = 0;
    this.#bytes = 0;
    this.#pairs = 0;
    this.#cookieAt = -1;
    this.#hostAt = -1;
    this.#sawHeader = false;
    this.#judged = false;
  }

  /** Lets go of headers that nobody will ask for again. */
  clear(): void {
    if (!this.#last.known) this.headers = nothing;
  }

  field(name: HeaderName, value: string, fault: string | null): void {
    this.#pairs += 1;
    this.#bytes += name.text.length + value.length + 32;
    if (this.#bytes > this.#maxBytes || this.#pairs > this.#maxPairs) {
      if (this.tooLong === "") {
        this.tooLong = this.#pairs > this.#maxPairs ? "header-pairs" : "header-bytes";
        this.headers = nothing;
      }
      return;
    }
    if (fault !== null) {
      this.fault ??= fault;
      return;
    }
    const kind = name.kind;
    if (kind === nameKind.regular) this.headers.push(name.text, value);
    else if (kind <= nameKind.unknownPseudo) this.#pseudo(kind, value);
    else this.#special(kind, name.text, value);
  }

  #pseudo(kind: number, value: string): void {
    const fits =
      this.#role === blockRole.request
        ? (requestPseudo & bit(kind)) !== 0
        : this.#role === blockRole.response && kind === nameKind.status;
    if (!fits) this.fault ??= "a pseudo-header where it does not belong";
    else if ((this.#seen & bit(kind)) !== 0) this.fault ??= "a pseudo-header twice";
    else if (this.headers.length > 0 || this.#sawHeader) this.fault ??= "a pseudo-header after a header";
    this.#seen |= bit(kind);
    switch (kind) {
      case nameKind.method:
        this.method = value;
        break;
      case nameKind.scheme:
        this.scheme = value;
        break;
      case nameKind.authority:
        this.authority = value;
        break;
      case nameKind.path:
        this.path = value;
        break;
      case nameKind.protocol:
        this.protocol = value;
        break;
      default:
        this.status = statusOf(value);
    }
  }

  #special(kind: number, name: string, value: string): void {
    const trailers = this.#role === blockRole.trailers;
    this.#sawHeader = true;
    switch (kind) {
      case nameKind.te:
        if (value !== "trailers") this.fault ??= "te says something other than trailers";
        else if (!trailers) this.headers.push(name, value);
        break;
      case nameKind.contentLength:
        // RFC 9110, section 6.5.1: framing has no place in trailers.
        if (trailers) break;
        if (!digits.test(value)) this.fault ??= "content-length is not a number";
        else if (this.contentLength >= 0) this.fault ??= "content-length twice";
        else {
          this.contentLength = Number(value);
          this.headers.push(name, value);
        }
        break;
      case nameKind.host:
        if (trailers) break;
        if (this.host !== null) this.fault ??= "host twice";
        else if (!isAuthority(value)) this.fault ??= "host is not an authority";
        else {
          this.host = value;
          this.#hostAt = this.headers.length;
          this.headers.push(name, value);
        }
        break;
      case nameKind.cookie:
        // RFC 9113, section 8.2.3.
        if (this.#cookieAt < 0) {
          this.#cookieAt = this.headers.length + 1;
          this.headers.push(name, value);
        } else this.headers[this.#cookieAt] += cookieJoint + value;
        break;
      case nameKind.origProto:
        if (this.origProto === null) this.origProto = value;
        break;
      case nameKind.connection:
        this.fault ??= "a header that has no place in HTTP/2";
        break;
      default:
        this.fault ??= "a field name has a forbidden character";
    }
  }

  /** Judges a request's head once all of it is there. */
  judgeRequest(): void {
    if (this.fault !== null || this.#judged) return;
    this.#judged = true;
    if (!isMethod(this.method)) this.fault = ":method is missing or not a token";
    else if (!isAuthority(this.authority)) this.fault = ":authority is not a host and port";
    else if (this.method === "CONNECT") this.#judgeConnect();
    else if ((this.#seen & bit(nameKind.protocol)) !== 0) this.fault = ":protocol without CONNECT";
    else this.#judgeTarget();
  }

  /** Judges a response's head once all of it is there. */
  judgeResponse(): void {
    if (this.fault !== null) return;
    // RFC 9113, section 8.6: 101 has no meaning here.
    if (this.status < 100 || this.status === 101) this.fault = ":status is missing or not allowed";
  }

  #judgeConnect(): void {
    if ((this.#seen & bit(nameKind.protocol)) !== 0) {
      // RFC 8441, section 4.
      if (!isToken(this.protocol)) this.fault = ":protocol is not a token";
      else this.#judgeTarget();
      return;
    }
    // RFC 9113, section 8.5.
    if ((this.#seen & (bit(nameKind.scheme) | bit(nameKind.path))) !== 0) this.fault = "CONNECT with a scheme or path";
    else if (this.authority === "") this.fault = "CONNECT without :authority";
  }

  #judgeTarget(): void {
    if (this.scheme !== "http" && this.scheme !== "https") this.fault = ":scheme is missing or not http";
    else if (!isPath(this.path, this.method)) this.fault = ":path is missing or not a path";
  }

  /** Takes `host` out of the headers: HTTP/2 has `:authority`. */
  dropHost(): void {
    if (this.#hostAt >= 0) this.headers.splice(this.#hostAt, 2);
    this.#hostAt = -1;
  }
}

const nothing: string[] = [];

/** 0 when it is not three digits. */
function statusOf(value: string): number {
  if (value === "200") return 200;
  return value.length === 3 && digits.test(value) ? Number(value) : 0;
}
