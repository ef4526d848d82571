import { validateHeaderName, validateHeaderValue } from "node:http";
import { type HeaderList, noHeaders } from "../../exchange.js";
import { httpDate } from "./http-date.js";
import { type NodeResponse, type OutValue, outHeadersKey, uniqueHeadersKey } from "./node-internals.js";

const closeToken = /(?:^|[\s,])close(?:$|[\s,])/i;
const digits = /^\d{1,15}$/;
const forbiddenInValue = /[^\t\x20-\x7e\x80-\xff]/;
const outerSpace = /^[\t ]+|[\t ]+$/g;
const maxNames = 256;

/**
 * What a `ServerResponse` would have written before its body, as a list: names in lower case, one pair a line, without
 * hop-by-hop fields (RFC 9110, section 7.6.1), with the `date` and `content-length` that Node adds by itself.
 *
 * Throws what Node throws: invalid names and values given to `writeHead`, and a `trailer` field that can't be kept.
 */
export class ResponseHead {
  readonly status: number;
  readonly fields: string[] = [];
  private readonly names: Map<string, string> | null;
  /** Bytes that the body must have, or -1. */
  contentLength = -1;
  /** The application asked for the connection to be closed. */
  closes = false;
  private hasLength = false;
  private hasTransferEncoding = false;
  private hasDate = false;
  private hasTrailer = false;
  private named: string | null = null;
  private readonly strict: boolean;
  private readonly unique: ReadonlySet<string> | null | undefined;

  /**
   * @param strict - check also what `setHeader` has let through because the server was told to be lenient
   * @param names - where to keep how names were written that aren't lower case; `null` when nobody asks
   */
  constructor(res: NodeResponse, headers: unknown, strict: boolean, names: Map<string, string> | null) {
    this.status = res.statusCode;
    this.names = names;
    this.strict = strict;
    this.unique = (res as unknown as Record<symbol, ReadonlySet<string> | null>)[uniqueHeadersKey];
    const set = (res as unknown as Record<symbol, Record<string, [string, OutValue]> | null>)[outHeadersKey];
    if (headers === set) {
      if (set !== null && set !== undefined) {
        for (const name in set) {
          const entry = set[name] as [string, OutValue];
          this.add(name, entry[0], entry[1], strict);
        }
      }
    } else if (Array.isArray(headers)) this.addArray(headers);
    else if (typeof headers === "object" && headers !== null) this.addObject(headers as Record<string, OutValue>);
    this.complete(res);
  }

  private addArray(headers: readonly unknown[]): void {
    if (Array.isArray(headers[0])) {
      for (let i = 0; i < headers.length; i++) {
        const entry = headers[i] as [string, OutValue];
        this.addUnchecked(entry[0], entry[1]);
      }
      return;
    }
    if (headers.length % 2 !== 0) throw nodeError("ERR_INVALID_ARG_VALUE", "The argument 'headers' is invalid.");
    for (let i = 0; i < headers.length; i += 2) this.addUnchecked(headers[i] as string, headers[i + 1]);
  }

  private addObject(headers: Record<string, OutValue>): void {
    for (const name of Object.keys(headers)) this.addUnchecked(name, headers[name]);
  }

  private addUnchecked(name: string, value: OutValue): void {
    validateHeaderName(name);
    this.add(name.toLowerCase(), name, value, true);
  }

  private add(name: string, written: string, value: OutValue, check: boolean): void {
    if (this.names !== null && name !== written) this.remember(this.names, name, written);
    if (!Array.isArray(value)) {
      this.addOne(name, value, check);
      return;
    }
    if ((value.length > 1 && name === "cookie") || this.unique?.has(name) === true) {
      this.addOne(name, value.join("; "), check);
      return;
    }
    for (let i = 0; i < value.length; i++) this.addOne(name, value[i], check);
  }

  private remember(names: Map<string, string>, name: string, written: string): void {
    if (names.size < maxNames && !names.has(name)) names.set(name, written);
  }

  private addOne(name: string, given: OutValue, check: boolean): void {
    if (check) {
      validateHeaderValue(name, given as string);
      // Node's own check may have been made lenient by a flag of the process.
      if (this.strict && forbiddenInValue.test(`${given}`)) {
        throw nodeError("ERR_INVALID_CHAR", `Invalid character in header content ["${name}"]`);
      }
    }
    const value = trimmed(typeof given === "string" ? given : `${given}`);
    switch (name.length) {
      case 2:
        if (name === "te") return;
        break;
      case 4:
        if (name === "date") this.hasDate = true;
        break;
      case 7:
        if (name === "upgrade") return;
        if (name === "trailer") this.hasTrailer = true;
        break;
      case 10:
        if (name === "keep-alive") return;
        if (name === "connection") {
          this.named = this.named === null ? value : `${this.named},${value}`;
          return;
        }
        break;
      case 14:
        if (name === "content-length") {
          this.addLength(value);
          return;
        }
        if (name === "http2-settings") return;
        break;
      case 16:
        if (name === "proxy-connection") return;
        break;
      case 17:
        if (name === "transfer-encoding") {
          this.hasTransferEncoding = true;
          return;
        }
        break;
    }
    this.fields.push(name, value);
  }

  /** The first one counts; what isn't a length is dropped, since the body's end is known without it. */
  private addLength(value: string): void {
    if (this.hasLength || !digits.test(value)) return;
    this.hasLength = true;
    this.contentLength = Number(value);
  }

  private complete(res: NodeResponse): void {
    const fields = this.fields;
    if (this.named !== null) this.dropNamed(this.named);
    if (!this.hasDate && res.sendDate) fields.push("date", httpDate());
    const bodyless = !res._hasBody;
    if (this.hasTrailer && (this.hasLength || bodyless || !res.useChunkedEncodingByDefault)) {
      throw nodeError("ERR_HTTP_TRAILER_INVALID", "Trailers are invalid with this transfer encoding");
    }
    if (this.hasLength) {
      // Node's own check (`strictContentLength`) compares with it.
      res._contentLength = this.contentLength;
      // RFC 9110, section 8.6: never in a 204. With transfer-encoding, the length is the one that doesn't count.
      if (this.status !== 204 && !this.hasTransferEncoding) fields.push("content-length", `${this.contentLength}`);
      else this.contentLength = -1;
    } else if (
      !bodyless &&
      !this.hasTransferEncoding &&
      !this.hasTrailer &&
      !res._removedContLen &&
      typeof res._contentLength === "number"
    ) {
      this.contentLength = res._contentLength;
      fields.push("content-length", `${this.contentLength}`);
    }
    if (bodyless) this.contentLength = -1;
  }

  private dropNamed(named: string): void {
    this.closes = closeToken.test(named);
    for (const part of named.split(",")) {
      const name = part.trim().toLowerCase();
      if (name === "" || name === "close" || name === "content-type" || name === "set-cookie") continue;
      for (let i = this.fields.length - 2; i >= 0; i -= 2) if (this.fields[i] === name) this.fields.splice(i, 2);
    }
  }
}

/** What `addTrailers` has rendered as text (`name: value` lines), as a list again; `null` when nothing is left. */
export function parseTrailers(text: string): HeaderList | null {
  const list = parseLines(text, 0);
  return list.length === 0 ? null : list;
}

/** `name: value` lines as Node renders them, from `at` on, without the fields that end at a hop. */
export function parseLines(text: string, at: number): HeaderList {
  let list: string[] | null = null;
  while (at < text.length) {
    let end = text.indexOf("\r\n", at);
    if (end === -1) end = text.length;
    const colon = text.indexOf(":", at);
    if (colon > at && colon < end) {
      const name = text.slice(at, colon).toLowerCase();
      if (!framing.has(name)) {
        list ??= [];
        list.push(name, trimmed(text.slice(colon + 1, end)));
      }
    }
    at = end + 2;
  }
  return list ?? noHeaders;
}

const framing: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** RFC 9113, section 8.2.1: a value neither starts nor ends with white space. */
function trimmed(value: string): string {
  const last = value.length - 1;
  if (last < 0 || (value.charCodeAt(0) > 32 && value.charCodeAt(last) > 32)) return value;
  return value.replace(outerSpace, "");
}

/** An error that looks like Node's own of that code. */
export function nodeError(code: string, message: string): Error {
  const error = new TypeError(message);
  return Object.assign(error, { code });
}
