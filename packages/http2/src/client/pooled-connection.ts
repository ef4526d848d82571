import type { Duplex } from "node:stream";
import type { Exchange, Service, Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { ClientConnection, type ClientConnectionListener } from "../h1/client-connection.js";
import type { Http1Config } from "../h1/limits.js";
import { FirstExchangeSink } from "./first-exchange-sink.js";
import type { Lifetime } from "./lifetime.js";

export interface PooledConnectionListener {
  onIdle(c: PooledConnection): void;
  onClosed(c: PooledConnection, error: ExchangeError | null): void;
}

/** What the pool knows of one HTTP/1 connection. Links of the list of all connections, and of the stack of idle ones. */
export class PooledConnection implements ClientConnectionListener, Service {
  readonly socket: Duplex;
  readonly life: Lifetime;
  readonly connection: ClientConnection;
  idle = false;
  closed = false;
  /** A time of `Clock.now`. */
  idleSince = 0;
  previous: PooledConnection | null = null;
  next: PooledConnection | null = null;
  newerIdle: PooledConnection | null = null;
  olderIdle: PooledConnection | null = null;
  readonly #listener: PooledConnectionListener;
  #fresh: boolean;

  constructor(socket: Duplex, life: Lifetime, config: Http1Config, listener: PooledConnectionListener) {
    this.socket = socket;
    this.life = life;
    this.#fresh = (socket as { encrypted?: boolean }).encrypted === true;
    this.#listener = listener;
    this.connection = new ClientConnection(socket, config, this);
  }

  call(x: Exchange, sink: Sink): void {
    if (this.#fresh) {
      this.#fresh = false;
      sink = new FirstExchangeSink(sink);
    }
    this.connection.call(x, sink);
  }

  onIdle(): void {
    this.#listener.onIdle(this);
  }

  onClosed(_: ClientConnection, error: ExchangeError | null): void {
    this.#listener.onClosed(this, error);
  }
}
