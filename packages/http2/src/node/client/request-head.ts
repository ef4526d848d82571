import { invalidArgument } from "./dispatch-error.js";
import type { HeaderNames } from "./header-names.js";

/** Headers in any of the shapes that undici and fetch take. */
export type HeadersInput =
  | Readonly<Record<string, unknown>>
  | readonly unknown[]
  | Iterable<readonly [unknown, unknown]>
  | null
  | undefined;

/** What a field value may not hold (RFC 9110, section 5.5). */
const badValue = /[^\t\x20-\x7e\x80-\xff]/;
const badHost = /[^A-Za-z0-9\-._~!$&'()*+,;=:[\]%]/;
const digits = /^[0-9]+$/;

/** More fields of the connection (RFC 9110, section 7.6.1), which need nothing but to be left out. */
const dropped = new Set(["keep-alive", "proxy-connection", "http2-settings"]);

/**
 * The headers of one request, read from what the caller wrote: lower-case names, checked values, no hop-by-hop fields.
 * `host`, `content-length` and `te` are taken out, since what they say is decided by more than the caller.
 */
export class RequestHead {
  readonly list: string[] = [];
  host: string | null = null;
  contentLength = -1;
  hasContentType = false;
  acceptsTrailers = false;
  /** What `upgrade` and `expect` said. They aren't in the list. */
  upgrade: string | null = null;
  /** `transfer-encoding: chunked` was there. */
  chunked = false;
  expect: string | null = null;
  readonly #names: HeaderNames;
  #connection: string[] | null = null;

  constructor(names: HeaderNames) {
    this.#names = names;
  }

  /** `connection` names `upgrade`, without which the latter means nothing. */
  get offersUpgrade(): boolean {
    return this.upgrade !== null && this.#connection?.includes("upgrade") === true;
  }

  /** Adds all headers of an input. Throws an error with code UND_ERR_INVALID_ARG. */
  read(input: HeadersInput): void {
    if (input === null || input === undefined) return;
    if (typeof input !== "object") throw invalidArgument("headers must be an object or an array");
    if (Array.isArray(input)) {
      if (input.length > 0 && Array.isArray(input[0])) this.#readPairs(input);
      else this.#readFlat(input);
    } else if (hasSafeIterator(input)) {
      this.#readPairs(input);
    } else {
      const fields = input as Readonly<Record<string, unknown>>;
      for (const name of Object.keys(fields)) this.add(name, fields[name]);
    }
    this.finish();
  }

  /** To be called after the last {@link add}. */
  finish(): void {
    if (this.#connection !== null) this.#dropNamedByConnection(this.#connection);
  }

  /** Adds one header, or several of one name. */
  add(name: unknown, value: unknown): void {
    if (value === undefined) return;
    const text = typeof name === "string" ? name : ArrayBuffer.isView(name) ? bytesText(name) : String(name);
    const lower = this.#names.lower(text);
    if (Array.isArray(value)) {
      for (const one of value) this.#add(lower, valueText(lower, one));
    } else {
      this.#add(lower, valueText(lower, value));
    }
  }

  #readFlat(input: readonly unknown[]): void {
    if (input.length % 2 !== 0) throw invalidArgument("headers array must be even");
    for (let i = 0; i < input.length; i += 2) this.add(input[i], input[i + 1]);
  }

  #readPairs(input: Iterable<unknown>): void {
    for (const pair of input) {
      if (!Array.isArray(pair) || pair.length !== 2) throw invalidArgument("headers must be in key-value pair format");
      this.add(pair[0], pair[1]);
    }
  }

  #add(name: string, value: string): void {
    switch (name) {
      case "host":
        if (this.host !== null) throw invalidArgument("duplicate host header");
        if (value === "" || badHost.test(value)) throw invalidArgument("invalid host header");
        this.host = value;
        return;
      case "content-length":
        if (this.contentLength >= 0) throw invalidArgument("duplicate content-length header");
        if (!digits.test(value) || value.length > 15) throw invalidArgument("invalid content-length header");
        this.contentLength = Number(value);
        return;
      case "te":
        // Only this member may cross to HTTP/2 (RFC 9113, section 8.2.2).
        if (/(^|,)[ \t]*trailers[ \t]*(,|;|$)/i.test(value)) this.acceptsTrailers = true;
        return;
      case "transfer-encoding":
        if (value.trim().toLowerCase() !== "chunked") throw invalidArgument("invalid transfer-encoding header");
        this.chunked = true;
        return;
      case "connection":
        this.#connection ??= [];
        for (const part of value.toLowerCase().split(",")) this.#connection.push(part.trim());
        return;
      case "upgrade":
        this.upgrade = this.upgrade === null ? value : `${this.upgrade}, ${value}`;
        return;
      case "expect":
        this.expect = value;
        return;
      case "content-type":
        this.hasContentType = true;
        break;
      default:
        if (dropped.has(name)) return;
    }
    this.list.push(name, value);
  }

  #dropNamedByConnection(named: readonly string[]): void {
    const { list } = this;
    let kept = 0;
    for (let i = 0; i < list.length; i += 2) {
      const name = list[i]!;
      if (named.includes(name)) continue;
      list[kept++] = name;
      list[kept++] = list[i + 1]!;
    }
    list.length = kept;
  }
}

function valueText(name: string, value: unknown): string {
  if (typeof value !== "string") {
    if (value === null) return "";
    if (ArrayBuffer.isView(value)) value = bytesText(value);
    else if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") {
      throw invalidArgument(`invalid ${name} header`);
    } else value = String(value);
  }
  if (badValue.test(value as string)) throw invalidArgument(`invalid ${name} header`);
  return value as string;
}

function bytesText(view: ArrayBufferView): string {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString("latin1");
}

/** An iterator of its own or of its class, not one that was planted on Object.prototype. */
function hasSafeIterator(value: object): value is Iterable<unknown> {
  const prototype = Object.getPrototypeOf(value) as object | null;
  return (
    Object.hasOwn(value, Symbol.iterator) ||
    (prototype !== null &&
      prototype !== Object.prototype &&
      typeof (value as { [Symbol.iterator]?: unknown })[Symbol.iterator] === "function")
  );
}
