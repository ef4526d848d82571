import type { Exchange, HeaderList } from "../../exchange.js";
import type { RequestInternals } from "./client-internals.js";
import { DispatchError } from "./dispatch-error.js";
import { setTarget } from "./dispatch-request.js";
import type { HeaderNames } from "./header-names.js";
import type { MessageBody } from "./message-body.js";
import { Origins } from "./origin.js";
import { RequestHead } from "./request-head.js";

/** Where a ClientRequest is going, as its constructor resolved it. */
export interface RequestTarget {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Idle time of the socket after which 'timeout' is emitted. 0 is never. */
  readonly timeoutMs: number;
}

const origins = new Origins();

/** The head of a ClientRequest from what `setHeader` kept: `{ lowerName: [name, value] }`. */
export function headOfMap(map: unknown, names: HeaderNames): RequestHead {
  const head = new RequestHead(names);
  try {
    if (typeof map === "object" && map !== null) {
      const entries = map as Readonly<Record<string, readonly [string, unknown]>>;
      for (const key in entries) {
        const [name, value] = entries[key]!;
        // One field, as the application meant it (RFC 6265, section 5.4).
        head.add(name, key === "cookie" && Array.isArray(value) ? value.join("; ") : value);
      }
    }
    head.finish();
  } catch (error) {
    throw nodeError(error);
  }
  return head;
}

/** The head of a ClientRequest that Node has rendered as text already: headers given as an array, or `expect`. */
export function headOfText(text: string, names: HeaderNames): RequestHead {
  const head = new RequestHead(names);
  const lines = text.split("\r\n");
  try {
    addLines(lines.slice(1), (name, value) => head.add(name, value));
    head.finish();
  } catch (error) {
    throw nodeError(error);
  }
  return head;
}

/** Trailers as `addTrailers` keeps them: lines of text. */
export function trailersOf(text: string, names: HeaderNames): HeaderList {
  const list: string[] = [];
  addLines(text.split("\r\n"), (name, value) => list.push(names.lower(name), value));
  return list;
}

function addLines(lines: readonly string[], add: (name: string, value: string) => void): void {
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) add(line.slice(0, colon), line.slice(colon + 1).trim());
  }
}

/**
 * Fills an exchange from a ClientRequest. Says whether it is a tunnel, whose body is for the caller to set.
 * Throws for what must not be sent.
 */
export function fillExchange(
  x: Exchange,
  req: RequestInternals,
  head: RequestHead,
  target: RequestTarget,
  body: MessageBody,
): boolean {
  x.method = req.method;
  x.version = "1.1";
  x.scheme = target.scheme;
  x.authority = defaultAuthority(target);
  try {
    setTarget(x, { path: req.path }, origins);
  } catch (error) {
    throw nodeError(error);
  }
  if (head.host !== null && !x.absoluteForm && req.method !== "CONNECT") x.authority = head.host;
  const headers: string[] = ["host", x.authority];
  const length = bodyLength(req, head, body);
  const upgrade = head.upgrade;
  const offers = upgrade !== null && head.offersUpgrade && length === 0 && !/^\s*h2c\b/i.test(upgrade);
  x.tunnel = req.method === "CONNECT" || offers;
  if (offers) headers.push("connection", "upgrade", "upgrade", upgrade);
  if (!x.tunnel) {
    // A length of 0 is said only where a body could be expected (RFC 9110, section 8.6).
    if (length > 0 || (length === 0 && (req.useChunkedEncodingByDefault || head.contentLength === 0))) {
      headers.push("content-length", String(length));
    }
    if (length !== 0) {
      body.length = length;
      x.body = body;
    }
    if (head.acceptsTrailers) headers.push("te", "trailers");
    if (head.expect !== null) headers.push("expect", head.expect);
  }
  for (let i = 0; i < head.list.length; i++) headers.push(head.list[i]!);
  x.headers = headers;
  return x.tunnel;
}

/** Bytes of the body, 0 for none, or -1 when not known: the choice that Node makes between its two framings. */
function bodyLength(req: RequestInternals, head: RequestHead, body: MessageBody): number {
  if (head.contentLength >= 0) return head.contentLength;
  if (head.chunked) return -1;
  const expectsTrailers = head.list.includes("trailer");
  if (req.useChunkedEncodingByDefault || body.hasBytes) {
    const length = req._contentLength;
    return typeof length === "number" && !req._removedContLen && !expectsTrailers ? length : -1;
  }
  return 0;
}

function defaultAuthority({ scheme, host, port }: RequestTarget): string {
  const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
  return port === (scheme === "https" ? 443 : 80) ? name : `${name}:${port}`;
}

/** Callers of node:http know no codes of undici's. */
function nodeError(error: unknown): unknown {
  if (!(error instanceof DispatchError)) return error;
  return Object.assign(new TypeError(error.message), { code: "ERR_INVALID_ARG_VALUE" });
}
