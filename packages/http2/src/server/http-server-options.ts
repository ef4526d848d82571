import type { Duplex } from "node:stream";
import type { TlsOptions } from "node:tls";
import { type Clock, systemClock } from "../clock.js";
import type { Connection, Exchange, Service } from "../exchange.js";
import { type Http1Config, type Http1Options, resolveHttp1 } from "../h1/limits.js";
import { type Http2Config, type Http2Options, resolveHttp2 } from "../h2/limits.js";

/** How an `HttpServer` takes connections, and what it does with what comes on them. */
export interface HttpServerOptions {
  /** Gets every exchange of every connection. */
  service: Service;
  /** Makes the object of each exchange. @defaultValue `() => new Exchange()` */
  newExchange?: () => Exchange;
  /**
   * Present: TLS is accepted. What is given goes to `tls.createServer` (pass `minVersion`, `ca`, `requestCert` …), with these
   * additions: sessions are never resumed, because a resumed one skips all checks of the peer's certificate, and, unless
   * ALPN is configured here, `h2` and `http/1.1` are answered while other names are ignored rather than refused.
   */
  tls?: TlsOptions;
  /** Whether connections without TLS are served. @defaultValue true */
  plaintext?: boolean;
  /**
   * Called once for each connection, after the TLS handshake and when its `protocol` is known, before its first byte is
   * parsed. `false`, or throwing, destroys it. May set `connection.context`.
   */
  onConnection?(connection: Connection): boolean;
  /** A handshake failed. `authorizationError` is why the peer's certificate was refused, if it was. */
  onTlsError?(error: Error, authorizationError: string | undefined, remoteAddress: string): void;
  /**
   * Takes connections that speak neither HTTP/1 nor HTTP/2, or say nothing within `detectTimeoutMs` (the server speaks first in
   * some protocols). The socket holds all bytes that came. Absent: such connections are destroyed.
   */
  onOpaque?(connection: Connection, socket: Duplex): void;
  /** A limit that protects the server was hit, and why. For counters and rare logs. */
  onProtection?(reason: string): void;
  /** Whether `l5d-orig-proto` is believed on a connection: only from meshed peers. @defaultValue never */
  restoreHttp1?: (connection: Connection) => boolean;
  http1?: Http1Options;
  http2?: Http2Options;
  /** How long a connection may take to say what it speaks, once raw and once within TLS. @defaultValue 10000 (as linkerd) */
  detectTimeoutMs?: number;
  /** How long a TLS handshake may take: since its first bytes, or, without `plaintext`, since the connection was accepted. @defaultValue 10000 */
  handshakeTimeoutMs?: number;
  /** Connections beyond are destroyed when they are accepted. @defaultValue 10000 */
  maxConnections?: number;
  /** A connection drains at this age, or up to a tenth earlier, so that load spreads anew. @defaultValue Infinity */
  maxConnectionAgeMs?: number;
  /** For tests. @defaultValue the system's */
  clock?: Clock;
  /** For tests: [0, 1). @defaultValue Math.random */
  random?: () => number;
}

export const httpServerDefaults = Object.freeze({
  plaintext: true,
  detectTimeoutMs: 10_000,
  handshakeTimeoutMs: 10_000,
  maxConnections: 10_000,
  maxConnectionAgeMs: Number.POSITIVE_INFINITY,
});

/** `HttpServerOptions`, checked and complete. */
export interface HttpServerConfig {
  readonly service: Service;
  readonly tls: TlsOptions | null;
  readonly plaintext: boolean;
  readonly onConnection: ((connection: Connection) => boolean) | null;
  readonly onTlsError: ((error: Error, authorizationError: string | undefined, remoteAddress: string) => void) | null;
  readonly onOpaque: ((connection: Connection, socket: Duplex) => void) | null;
  readonly onProtection: ((reason: string) => void) | null;
  readonly http1: Http1Config;
  readonly http2: Http2Config;
  readonly http2Restoring: Http2Config;
  readonly restoreHttp1: ((connection: Connection) => boolean) | null;
  readonly detectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxConnectionAgeMs: number;
  readonly clock: Clock;
  readonly random: () => number;
}

// Inclusive bounds.
const bounds = {
  detectTimeoutMs: [1, 3_600_000],
  handshakeTimeoutMs: [1, 3_600_000],
  maxConnections: [1, 10_000_000],
  maxConnectionAgeMs: [1, Number.POSITIVE_INFINITY],
} as const;

/** Checks options and fills in the defaults. @throws RangeError that names the option */
export function resolveHttpServer(options: HttpServerOptions): HttpServerConfig {
  const { newExchange, onProtection } = options;
  const engine = {
    ...(newExchange === undefined ? {} : { newExchange }),
    ...(onProtection === undefined ? {} : { onProtection }),
  };
  const http2 = { ...engine, ...options.http2 };
  const plaintext = options.plaintext ?? httpServerDefaults.plaintext;
  if (!plaintext && options.tls === undefined) {
    throw new RangeError(
      "server.plaintext is false and server.tls is missing: nothing could connect, give one of them",
    );
  }
  return Object.freeze({
    service: options.service,
    tls: options.tls ?? null,
    plaintext,
    onConnection: options.onConnection ?? null,
    onTlsError: options.onTlsError ?? null,
    onOpaque: options.onOpaque ?? null,
    onProtection: onProtection ?? null,
    http1: resolveHttp1({ ...engine, ...options.http1 }),
    http2: resolveHttp2({ ...http2, restoreHttp1: false }),
    http2Restoring: resolveHttp2({ ...http2, restoreHttp1: true }),
    restoreHttp1: options.restoreHttp1 ?? null,
    detectTimeoutMs: resolveNumber("detectTimeoutMs", options.detectTimeoutMs),
    handshakeTimeoutMs: resolveNumber("handshakeTimeoutMs", options.handshakeTimeoutMs),
    maxConnections: resolveNumber("maxConnections", options.maxConnections),
    maxConnectionAgeMs: resolveNumber("maxConnectionAgeMs", options.maxConnectionAgeMs),
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  });
}

function resolveNumber(name: keyof typeof bounds, value: number = httpServerDefaults[name]): number {
  const [least, most] = bounds[name];
  if (value >= least && value <= most) return value;
  throw new RangeError(`server.${name} is ${value}; give a number from ${least} to ${most}`);
}
