import { Exchange } from "../exchange.js";

/** What one HTTP/1 connection may be made to keep, read or wait for. Timeouts have a resolution of 200 ms; `Infinity` turns one off. */
export interface Http1Limits {
  /** Start line and fields, with their line ends. Beyond: 431. @defaultValue 32768 */
  readonly maxHeadBytes: number;
  /** The request line. Beyond: 414. RFC 9112, section 3, asks for 8000 at least. @defaultValue 8192 */
  readonly maxRequestLineBytes: number;
  /** Field lines of a head. Beyond: 431. @defaultValue 128 */
  readonly maxFields: number;
  /** The trailer section. @defaultValue 8192 */
  readonly maxTrailerBytes: number;
  /** @defaultValue 64 */
  readonly maxTrailerFields: number;
  /** All chunk extensions of one body together. They are read over. @defaultValue 4096 */
  readonly maxChunkExtensionBytes: number;
  /** Empty lines before a request line, which RFC 9112, section 2.2, asks to be read over. @defaultValue 4 */
  readonly maxLeadingLines: number;
  /** Names whose spelling is remembered for each connection. @defaultValue 128 */
  readonly maxCaseNames: number;
  /** 1xx heads before one final head. @defaultValue 32 */
  readonly maxInformational: number;
  /** How much of a request's body is read over after the response, so that the connection can go on. @defaultValue 65536 */
  readonly maxDiscardBytes: number;
  /** How long that may take, and how long the peer's close is awaited after ours. @defaultValue 1000 */
  readonly discardTimeoutMs: number;
  /** From the first byte of a head to its last; on a new server connection, from its start. @defaultValue 10000 */
  readonly headTimeoutMs: number;
  /** Between two reads of a request's body, while it is wanted. @defaultValue 60000 */
  readonly bodyTimeoutMs: number;
  /** Between exchanges. The client's should be shorter than the server's. @defaultValue 75000 */
  readonly idleTimeoutMs: number;
  /** How long a peer that reads nothing may hold up what is written to it. @defaultValue 60000 */
  readonly stallTimeoutMs: number;
  /** How long a client waits for a 100 before it sends the body (RFC 9110, section 10.1.1). @defaultValue 1000 */
  readonly continueTimeoutMs: number;
}

/** Options of HTTP/1 connections, both roles. */
export interface Http1Options extends Partial<Http1Limits> {
  /** Makes the object of each request that a server connection reads. @defaultValue `() => new Exchange()` */
  readonly newExchange?: () => Exchange;
  /** A message or a peer was refused, and why (`h1-…`). For counters. @defaultValue nothing */
  readonly onProtection?: (reason: string) => void;
  /** Monotonic milliseconds. @defaultValue `performance.now` */
  readonly now?: () => number;
  /** Of the requests that server connections read, unless the target is in absolute form. @defaultValue `http` */
  readonly scheme?: "http" | "https";
  /**
   * Whether a client may end its direction and still get the response it waits for. Otherwise it counts as gone, as with
   * node:http: the exchange is aborted. Tunnels have two directions in any case. @defaultValue false
   */
  readonly allowHalfClose?: boolean;
  /** Server: whether CONNECT of HTTP/1.0 is taken, which clients of proxies send (Python, gRPC's core). @defaultValue false */
  readonly allowConnect10?: boolean;
}

/** Default limits of `Http1Options`. */
export const http1Defaults: Http1Limits = Object.freeze({
  maxHeadBytes: 32_768,
  maxRequestLineBytes: 8_192,
  maxFields: 128,
  maxTrailerBytes: 8_192,
  maxTrailerFields: 64,
  maxChunkExtensionBytes: 4_096,
  maxLeadingLines: 4,
  maxCaseNames: 128,
  maxInformational: 32,
  maxDiscardBytes: 65_536,
  discardTimeoutMs: 1_000,
  headTimeoutMs: 10_000,
  bodyTimeoutMs: 60_000,
  idleTimeoutMs: 75_000,
  stallTimeoutMs: 60_000,
  continueTimeoutMs: 1_000,
});

/** `Http1Options`, checked and complete. */
export interface Http1Config {
  readonly limits: Http1Limits;
  readonly newExchange: () => Exchange;
  readonly onProtection: (reason: string) => void;
  readonly now: () => number;
  readonly scheme: "http" | "https";
  readonly allowHalfClose: boolean;
  readonly allowConnect10: boolean;
}

/** Checks options and fills in the defaults. Throws a TypeError that names the option. */
export function resolveHttp1(options: Http1Options = {}): Http1Config {
  const limits: Record<string, number> = {};
  for (const [name, fallback] of Object.entries(http1Defaults)) {
    const value: unknown = options[name as keyof Http1Limits] ?? fallback;
    const timeout = name.endsWith("Ms");
    if (typeof value !== "number" || !(value >= 0) || !(timeout || Number.isSafeInteger(value))) {
      const wanted = timeout ? "milliseconds, 0 or more, or Infinity" : "a whole number, 0 or more";
      throw new TypeError(`http1.${name} must be ${wanted}, got ${String(value)}`);
    }
    limits[name] = value;
  }
  const { allowHalfClose = false, allowConnect10 = false } = options;
  for (const [name, value] of Object.entries({ allowHalfClose, allowConnect10 })) {
    if (typeof value !== "boolean") throw new TypeError(`http1.${name} must be true or false, got ${String(value)}`);
  }
  return Object.freeze({
    limits: Object.freeze(limits) as unknown as Http1Limits,
    newExchange: options.newExchange ?? (() => new Exchange()),
    onProtection: options.onProtection ?? (() => {}),
    now: options.now ?? (() => performance.now()),
    scheme: options.scheme ?? "http",
    allowHalfClose,
    allowConnect10,
  });
}
