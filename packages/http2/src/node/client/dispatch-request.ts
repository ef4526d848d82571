import { stringify } from "node:querystring";
import type { Exchange } from "../../exchange.js";
import { invalidArgument } from "./dispatch-error.js";
import type { Origins } from "./origin.js";

/** One request as undici's callers describe it. Options that only matter to HTTP/1 pipelining are ignored. */
export interface DispatchRequest {
  /** `http:` or `https:` origin, without a path. */
  readonly origin?: string | URL | null;
  /** Path and query, starting with `/`, or an absolute URL as for a proxy. */
  readonly path: string;
  /** @defaultValue "GET" */
  readonly method?: string;
  /**
   * A string, bytes, an ArrayBuffer, a Readable, a Blob, a web stream, a FormData (any implementation), or another
   * iterable or async iterable of strings or bytes.
   */
  readonly body?: unknown;
  /** An object, a flat array, an iterable of pairs, or an array of pairs. */
  readonly headers?: unknown;
  readonly query?: unknown;
  /** The protocol to upgrade to. The handler then needs `onUpgrade` or `onRequestUpgrade`. */
  readonly upgrade?: string | boolean | null;
  /** Milliseconds without a response head, counted anew while the body is being sent. 0 is for ever. */
  readonly headersTimeout?: number | null;
  /** Milliseconds between two parts of the response's body, while it isn't paused. 0 is for ever. */
  readonly bodyTimeout?: number | null;
}

const badPath = /[^\x21-\x7e]/;

/** The protocol to upgrade to, or `null`. Throws an error with code UND_ERR_INVALID_ARG. */
export function readUpgrade(upgrade: string | boolean | null | undefined): string | null {
  if (upgrade === null || upgrade === undefined || upgrade === false || upgrade === "") return null;
  if (typeof upgrade !== "string" || /[^\t\x20-\x7e]/.test(upgrade)) throw invalidArgument("upgrade must be a string");
  return upgrade;
}

/** Sets scheme, authority and path. Throws an error with code UND_ERR_INVALID_ARG. */
export function setTarget(x: Exchange, request: DispatchRequest, origins: Origins): void {
  let path: unknown = request.path;
  if (typeof path !== "string") throw invalidArgument("path must be a string");
  if (x.method === "CONNECT") {
    // The path of a CONNECT is the authority that the tunnel leads to (RFC 9110, section 9.3.6).
    if (path !== "" && path !== "/") x.authority = path.startsWith("/") ? path.slice(1) : path;
    if (badPath.test(x.authority)) throw invalidArgument("invalid request path");
    x.path = "";
    return;
  }
  let text = path as string;
  if (text.startsWith("http://") || text.startsWith("https://")) {
    if (!URL.canParse(text)) throw invalidArgument("invalid request path");
    const url = new URL(text);
    const origin = origins.of(url.origin);
    x.scheme = origin.scheme;
    x.authority = origin.authority;
    x.absoluteForm = true;
    text = url.pathname + url.search;
  } else if (text[0] !== "/" && !(text === "*" && x.method === "OPTIONS")) {
    throw invalidArgument("path must be an absolute URL or start with a slash");
  }
  if (request.query !== null && request.query !== undefined) {
    if (typeof request.query !== "object") throw invalidArgument("query must be an object");
    if (/[?#]/.test(text)) throw invalidArgument('Query params cannot be passed when url already contains "?" or "#".');
    path = stringify(request.query as Record<string, string>);
    if (path !== "") text += `?${path as string}`;
  }
  if (badPath.test(text)) throw invalidArgument("invalid request path");
  x.path = text;
}
