import type { Exchange, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { AlpnConnects } from "./alpn-connects.js";
import type { Connect } from "./connect.js";
import {
  type EndpointClientConfig,
  type EndpointClientOptions,
  type EndpointState,
  resolveEndpointClient,
} from "./endpoint-client-options.js";
import { Http1Pool } from "./http1-pool.js";
import { Http2Pool } from "./http2-pool.js";

/**
 * The connections to one endpoint. Exchanges share an HTTP/2 session, or take an HTTP/1 connection each; tunnels take one
 * also when the peer speaks HTTP/2, made by the same `Connect`. Before there is a connection they wait, boundedly, and
 * `x.flow.abort` takes them out.
 *
 * A failed attempt fails all that wait, with progress `unsent`, and until the next attempt (`backoff`) requests fail at once
 * with the same error. Lost sessions that were in use are made again at once, off the path of requests. Nothing is ever sent
 * twice: retries are up to the layers above.
 */
export class EndpointClient implements Service {
  readonly #config: EndpointClientConfig;
  readonly #http1: Http1Pool;
  #http2: Http2Pool | null;
  #state: EndpointState = "idle";
  #closed: ExchangeError | null = null;
  #whenEmpty: (() => void) | null = null;

  constructor(connect: Connect, options: EndpointClientOptions) {
    this.#config = resolveEndpointClient(options);
    const onChange = () => this.#changed();
    const { protocol } = this.#config;
    const alpn = protocol === "alpn" ? new AlpnConnects(connect, options.connectHttp1!, () => this.#toHttp1()) : null;
    this.#http1 = new Http1Pool(this.#config, alpn === null ? connect : alpn.http1, onChange);
    this.#http2 =
      protocol === "h1" ? null : new Http2Pool(this.#config, alpn === null ? connect : alpn.http2, onChange);
  }

  /** Exchanges on a connection. */
  get active(): number {
    return this.#http2 === null ? this.#http1.active : this.#http2.active + this.#http1.active;
  }

  /** Exchanges that wait for a connection or for a free stream. */
  get pending(): number {
    return this.#http2 === null ? this.#http1.pending : this.#http2.pending + this.#http1.pending;
  }

  /** Of the connections for the peer's protocol; those for tunnels don't count. */
  get state(): EndpointState {
    return this.#state;
  }

  call(x: Exchange, sink: Sink): void {
    if (this.#closed !== null) sink.onError(this.#closed);
    else if (this.#http2 === null || x.tunnel) this.#http1.call(x, sink);
    else this.#http2.call(x, sink);
  }

  /** Connects, if there is no connection. How that went shows in `state` and to the listener. */
  warm(): void {
    if (this.#closed === null) (this.#http2 ?? this.#http1).warm();
  }

  /** After a rotation: new exchanges go to new connections as soon as there are any, and the old ones drain. Failed attempts are forgotten. */
  refresh(): void {
    if (this.#closed !== null) return;
    this.#http2?.refresh();
    this.#http1.refresh();
  }

  /** Takes no new exchanges; resolves when all are done, those that wait included, and the connections closed. */
  close(): Promise<void> {
    this.#closed ??= closedError();
    return new Promise((resolve) => {
      const before = this.#whenEmpty;
      this.#whenEmpty = () => {
        before?.();
        resolve();
      };
      this.#http2?.close();
      this.#http1.close();
      this.#changed();
    });
  }

  /** Ends all exchanges and connections now. */
  destroy(): void {
    this.#closed ??= closedError();
    this.#http2?.destroy(this.#closed);
    this.#http1.destroy(this.#closed);
    this.#changed();
  }

  /** The peer speaks HTTP/1 only: what waits for a session waits for connections, of which there is one already. */
  #toHttp1(): void {
    const http2 = this.#http2;
    if (http2 === null) return;
    this.#http2 = null;
    http2.moveWaiters(this.#http1);
    this.#http1.warm();
    http2.destroy(closedError());
    if (this.#closed !== null) this.#http1.close();
  }

  #changed(): void {
    const pool = this.#http2 ?? this.#http1;
    const { state } = pool;
    if (state !== this.#state) {
      this.#state = state;
      this.#config.listener.onState?.(state, state === "failing" ? pool.lastError : null);
    }
    if (this.#whenEmpty !== null && this.#http1.empty && (this.#http2 === null || this.#http2.empty)) {
      const whenEmpty = this.#whenEmpty;
      this.#whenEmpty = null;
      whenEmpty();
    }
  }
}

function closedError(): ExchangeError {
  return transportError("SELVAGE_ERR_CLOSED", "the client of this endpoint is closed", "local", "unsent");
}
