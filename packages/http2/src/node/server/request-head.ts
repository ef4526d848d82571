import type { Exchange, HeaderList } from "../../exchange.js";
import { trainCase } from "./header-names.js";

/** The head of an exchange, as `IncomingMessage` wants it. */
export class RequestHead {
  /** `[name, value, …]` with `Host` first. Names as the HTTP/1 sender wrote them or in Train-Case; HTTP/2 names in lower case. */
  readonly lines: string[];
  /** Bytes of names and values, as Node's parser counts them. */
  readonly size: number;
  /** The value of `expect`, or `null`. */
  readonly expect: string | null;
  readonly hasHost: boolean;

  constructor(x: Exchange) {
    const headers = x.headers;
    const http1 = x.version !== "2.0";
    const hostAt = indexOf(headers, "host");
    const host = hostAt === -1 ? x.authority : (headers[hostAt + 1] as string);
    const lines: string[] = [];
    let size = host.length;
    let expect: string | null = null;
    let cookieAt = -1;
    let lengthSeen = false;
    if (hostAt !== -1 || host !== "") lines.push(http1 ? writtenName(x, "host") : "host", host);
    this.hasHost = lines.length !== 0;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (i === hostAt) continue;
      const name = headers[i] as string;
      const value = headers[i + 1] as string;
      size += name.length + value.length;
      if (name === "cookie") {
        if (cookieAt !== -1) {
          // RFC 9113, section 8.2.3: HTTP/2 may split it, HTTP/1 applications must not see that.
          lines[cookieAt] += `; ${value}`;
          continue;
        }
        cookieAt = lines.length + 1;
      } else if (name === "expect") expect = value;
      else if (name === "content-length") lengthSeen = true;
      lines.push(http1 ? writtenName(x, name) : name, value);
    }
    if (x.body !== null && !lengthSeen) {
      // Without either, body parsers take it that there is no body.
      lines.push(http1 ? "Transfer-Encoding" : "transfer-encoding", "chunked");
    }
    this.lines = lines;
    this.size = size;
    this.expect = expect;
  }
}

/** Trailers as `IncomingMessage` wants them. */
export function trailerLines(x: Exchange, trailers: HeaderList): string[] {
  const http1 = x.version !== "2.0";
  const lines: string[] = [];
  for (let i = 0; i + 1 < trailers.length; i += 2) {
    const name = trailers[i] as string;
    lines.push(http1 ? writtenName(x, name) : name, trailers[i + 1] as string);
  }
  return lines;
}

function writtenName(x: Exchange, name: string): string {
  const written = x.headerCase === null ? undefined : x.headerCase.get(name);
  return written ?? trainCase(name);
}

function indexOf(headers: HeaderList, name: string): number {
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === name) return i;
  return -1;
}
