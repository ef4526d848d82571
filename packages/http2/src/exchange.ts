import type { Duplex } from "node:stream";
import type { ExchangeError } from "./exchange-error.js";

/** `[name, value, name, value, …]`. Names are lower case. Never holds pseudo-headers. Never changed in place. */
export type HeaderList = readonly string[];

export const noHeaders: HeaderList = Object.freeze([]) as HeaderList;

/** Lower-case name to the name as the HTTP/1 sender wrote it. Shared by all messages of one connection; read only. */
export type HeaderCase = ReadonlyMap<string, string>;

/** The HTTP version that an application spoke. What is used between two engines is their own affair. */
export type HttpVersion = "1.0" | "1.1" | "2.0";

/**
 * Where a response goes.
 *
 * `onInformational* onHead? onData* (onEnd | onError)`: exactly one terminal call and nothing after it. Calls may come
 * synchronously from inside `Service.call`, and from inside `Flow.abort`. A sink must not throw.
 *
 * A chunk belongs to the one who gets it: the sender never writes to its memory again.
 *
 * When the exchange is a tunnel (`Exchange.tunnel`) and the head says 101, or 2xx to CONNECT, `onData` carries the raw
 * bytes of the tunnel and `onEnd` its end.
 */
export interface Sink {
  /** A 1xx head other than 101. May come any number of times, before `onHead` only. */
  onInformational(status: number, headers: HeaderList): void;
  onHead(status: number, headers: HeaderList): void;
  onData(chunk: Uint8Array): void;
  onEnd(trailers: HeaderList | null): void;
  onError(error: ExchangeError): void;
}

/** Whoever holds an exchange now: the balancer's queue, a retry that waits, a stream. */
export interface Flow {
  /**
   * Ends the exchange: whatever is in flight is cancelled and the sink gets `onError(reason)`, synchronously, unless its
   * terminal call was made before. Calling it again does nothing.
   */
  abort(reason: ExchangeError): void;
  /** Asks for no more `onData`. What the current read already holds may still come. */
  pause(): void;
  resume(): void;
}

export const noFlow: Flow = Object.freeze({ abort() {}, pause() {}, resume() {} });

/** Where a request's body goes. `onData* onEnd?`: there is no error, since a caller that fails aborts the exchange. */
export interface BodySink {
  onData(chunk: Uint8Array): void;
  onEnd(trailers: HeaderList | null): void;
}

/** A request's body, before anybody has taken it. Back pressure runs through `pause` and `resume`. */
export interface Body {
  /** Bytes as declared by content-length, or -1. */
  readonly length: number;
  /** Starts delivery, once. Chunks may come synchronously. For a tunnel: to be called after the 101 or 2xx head. */
  pipe(sink: BodySink): void;
  pause(): void;
  resume(): void;
  /** Nobody wants the rest. The source discards it, and delivers nothing more. May be called before `pipe`. */
  cancel(): void;
}

/** A connection that requests arrive on. */
export interface Connection {
  /** The raw or TLS socket. To be read for addresses and TLS facts; only the engine reads or writes bytes. */
  readonly socket: Duplex;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly encrypted: boolean;
  /** What is spoken on it: `""` until detection has decided. */
  protocol: "" | "http/1" | "http/2" | "opaque";
  /** For whoever accepts connections: what was established once for all requests on it (the peer's identity). */
  context: unknown;
  /** Takes no new requests: GOAWAY, or `Connection: close` with the next response. Closes when the last one is done. */
  drain(): void;
  destroy(): void;
}

/**
 * One request and its response: the only object that is made per request and passed along. Entries fill it in, layers
 * read it and may replace fields, exits send it. Subclasses may add fields (all of them set in the constructor, so that
 * every exchange has one shape).
 */
export class Exchange {
  method = "GET";
  scheme: "http" | "https" = "http";
  /** Host and optional port that the request is addressed to, as the application wrote it. May be empty (HTTP/1.0). */
  authority = "";
  /** Path and query, starting with `/`; `*` for OPTIONS; empty for CONNECT. */
  path = "/";
  /** What the application spoke. An h2 stream that carries HTTP/1 has the version restored. */
  version: HttpVersion = "1.1";
  /** The application used an absolute-form request target (RFC 9112, section 3.2.2). */
  absoluteForm = false;
  /**
   * An HTTP/1.1 `Upgrade` (other than h2c) or CONNECT, or RFC 8441 extended CONNECT: after the 101 or 2xx head, body and
   * response are the two directions of a byte tunnel. `upgrade` and `connection` stay in the headers of such a request.
   */
  tunnel = false;
  /**
   * Without hop-by-hop headers (RFC 9110, section 7.6.1; `te: trailers` stays). `host` is there as the HTTP/1 application sent
   * it; HTTP/2 requests have none. `content-length` is there when the body declares one.
   */
  headers: HeaderList = noHeaders;
  headerCase: HeaderCase | null = null;
  /** `null`: the request has no body. */
  body: Body | null = null;
  /** Set by inbound entries; `null` for requests that start in this process. */
  connection: Connection | null = null;
  /** Who holds the exchange now. Set by each holder when it takes the exchange. */
  flow: Flow = noFlow;
  /** What the peer's application spoke, and its header names; set by the exit before `onHead`. */
  responseVersion: HttpVersion = "1.1";
  responseHeaderCase: HeaderCase | null = null;
}

/** Takes exchanges. Never throws: every outcome reaches the sink. */
export interface Service {
  call(x: Exchange, sink: Sink): void;
}
