import type { Duplex } from "node:stream";
import { type Clock, systemClock } from "../clock.js";
import type { ExchangeError } from "../exchange-error.js";
import { type Http1Config, type Http1Options, resolveHttp1 } from "../h1/limits.js";
import { type Http2Config, type Http2Options, resolveHttp2 } from "../h2/limits.js";
import { type BackoffConfig, type BackoffOptions, resolveBackoff } from "./backoff.js";
import type { Connect } from "./connect.js";

/**
 * - `idle`: no connection, and none is wanted
 * - `connecting`: none is ready, one is being made
 * - `ready`: at least one is ready
 * - `failing`: the last attempt failed; requests fail with its error until the next one
 */
export type EndpointState = "idle" | "connecting" | "ready" | "failing";

/** Learns what becomes of an endpoint's connections: for balancers and metrics. Called off the path of requests. */
export interface EndpointListener {
  /** `error` is the cause of `failing`. */
  onState?(state: EndpointState, error: ExchangeError | null): void;
  onOpen?(socket: Duplex, protocol: "h2" | "h1"): void;
  /** `error` is null when the connection ended as it should. */
  onClose?(socket: Duplex, protocol: "h2" | "h1", error: ExchangeError | null): void;
}

export interface EndpointClientOptions {
  /**
   * What the peer speaks, by prior knowledge; `alpn`: what it picks in the TLS handshake of the first connection, HTTP/1 when it
   * picks nothing. Then `connect` offers `h2` and `http/1.1`, and `connectHttp1` offers `http/1.1` alone.
   */
  protocol: "h2" | "h1" | "alpn";
  /** With `alpn`: makes the connections that must be HTTP/1: those for tunnels, and all when the peer speaks nothing else. */
  connectHttp1?: Connect;
  /** With `h2`: HTTP/1 exchanges are carried with `l5d-orig-proto`, for peers that restore them. @defaultValue false */
  carryHttp1?: boolean;
  /**
   * HTTP/2 sessions at most. There is one, until exchanges wait for a free stream, or until what a session wrote has been
   * waiting in the process for 50 ms running while new exchanges came. @defaultValue 8
   */
  maxSessions?: number;
  /** HTTP/1 connections at most, idle ones included. @defaultValue 1024 */
  maxHttp1Connections?: number;
  /** Idle HTTP/1 connections that are kept at most. @defaultValue 256 */
  maxIdleHttp1Connections?: number;
  /** Exchanges that wait for a connection or a stream at most; those beyond fail. @defaultValue 1024 */
  maxPending?: number;
  /** From the start of an attempt to a connection that is ready; with HTTP/2 that is the peer's SETTINGS. @defaultValue 1000 */
  connectTimeoutMs?: number;
  /** A session without exchanges closes after this. @defaultValue 300000 */
  idleTimeoutMs?: number;
  /** The same for HTTP/1 connections; keep it below the peer's keep-alive timeout. @defaultValue 3000 (as linkerd) */
  http1IdleTimeoutMs?: number;
  /** A connection is replaced at this age, or up to a tenth earlier. @defaultValue Infinity */
  maxAgeMs?: number;
  /** The wait after a failed attempt, doubled with each. */
  backoff?: BackoffOptions;
  http1?: Http1Options;
  http2?: Http2Options;
  listener?: EndpointListener;
  /** For tests. @defaultValue the system's */
  clock?: Clock;
  /** For tests: [0, 1). @defaultValue Math.random */
  random?: () => number;
}

export const endpointClientDefaults = Object.freeze({
  carryHttp1: false,
  maxSessions: 8,
  maxHttp1Connections: 1024,
  maxIdleHttp1Connections: 256,
  maxPending: 1024,
  connectTimeoutMs: 1_000,
  idleTimeoutMs: 300_000,
  http1IdleTimeoutMs: 3_000,
  maxAgeMs: Number.POSITIVE_INFINITY,
});

/** `EndpointClientOptions`, checked and complete. */
export interface EndpointClientConfig {
  readonly protocol: "h2" | "h1" | "alpn";
  readonly maxSessions: number;
  readonly maxHttp1Connections: number;
  readonly maxIdleHttp1Connections: number;
  readonly maxPending: number;
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly http1IdleTimeoutMs: number;
  readonly maxAgeMs: number;
  readonly backoff: BackoffConfig;
  readonly http1: Http1Config;
  readonly http2: Http2Config;
  readonly listener: EndpointListener;
  readonly clock: Clock;
  readonly random: () => number;
}

// Inclusive bounds.
const bounds = {
  maxSessions: [1, 1_000],
  maxHttp1Connections: [1, 1_000_000],
  maxIdleHttp1Connections: [0, 1_000_000],
  maxPending: [0, 10_000_000],
  connectTimeoutMs: [1, 3_600_000],
  idleTimeoutMs: [1, Number.POSITIVE_INFINITY],
  http1IdleTimeoutMs: [1, Number.POSITIVE_INFINITY],
  maxAgeMs: [1, Number.POSITIVE_INFINITY],
} as const;

const noListener: EndpointListener = Object.freeze({});

/** Checks options and fills in the defaults. @throws RangeError that names the option */
export function resolveEndpointClient(options: EndpointClientOptions): EndpointClientConfig {
  const { protocol } = options;
  if (protocol !== "h2" && protocol !== "h1" && protocol !== "alpn") {
    throw new RangeError(`client.protocol is ${String(protocol)}; give "h2", "h1" or "alpn"`);
  }
  if ((protocol === "alpn") !== (options.connectHttp1 !== undefined)) {
    throw new RangeError(`client.connectHttp1 goes with client.protocol "alpn", and that with it`);
  }
  return Object.freeze({
    protocol,
    maxSessions: resolveNumber("maxSessions", options.maxSessions),
    maxHttp1Connections: resolveNumber("maxHttp1Connections", options.maxHttp1Connections),
    maxIdleHttp1Connections: resolveNumber("maxIdleHttp1Connections", options.maxIdleHttp1Connections),
    maxPending: resolveNumber("maxPending", options.maxPending),
    connectTimeoutMs: resolveNumber("connectTimeoutMs", options.connectTimeoutMs),
    idleTimeoutMs: resolveNumber("idleTimeoutMs", options.idleTimeoutMs),
    http1IdleTimeoutMs: resolveNumber("http1IdleTimeoutMs", options.http1IdleTimeoutMs),
    maxAgeMs: resolveNumber("maxAgeMs", options.maxAgeMs),
    backoff: resolveBackoff(options.backoff, "client.backoff"),
    http1: resolveHttp1(options.http1),
    http2: resolveHttp2({ ...options.http2, carryHttp1: options.carryHttp1 ?? endpointClientDefaults.carryHttp1 }),
    listener: options.listener ?? noListener,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  });
}

function resolveNumber(name: keyof typeof bounds, value: number = endpointClientDefaults[name]): number {
  const [least, most] = bounds[name];
  if (value >= least && value <= most) return value;
  throw new RangeError(`client.${name} is ${value}; give a number from ${least} to ${most}`);
}
