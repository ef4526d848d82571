import type { Duplex } from "node:stream";
import type { Connection, Exchange, HeaderList, Service, Sink } from "../../exchange.js";
import type { ExchangeError } from "../../exchange-error.js";
import { resolveHttp1 } from "../../h1/limits.js";
import { ServerConnection } from "../../h1/server-connection.js";
import { MemorySocket } from "./memory-socket.js";

/**
 * Makes a connection in memory whose other end is a service: what an HTTP/1 client writes on it is read as requests by
 * this package's own parser. It needs nothing of Node but documented interfaces, and costs about twice what the seam does.
 */
export function connectAsText(service: Service, scheme: "http" | "https", newExchange: () => Exchange): MemorySocket {
  const [near, far] = MemorySocket.pair();
  const connection = new MemoryConnection(far, scheme === "https");
  const entry = new TextEntry(service, near);
  new ServerConnection(far, connection, entry, resolveHttp1({ scheme, newExchange }), entry);
  return near;
}

/** Takes from an exchange what only matters to a connection, and fails the connection where there is no response. */
class TextEntry implements Service {
  readonly #service: Service;
  readonly #near: MemorySocket;

  constructor(service: Service, near: MemorySocket) {
    this.#service = service;
    this.#near = near;
  }

  call(x: Exchange, sink: Sink): void {
    x.connection = null;
    this.#service.call(x, new FailingSink(sink, this.#near));
  }

  onClosed(): void {
    this.#near.destroy();
  }
}

/** A failure before the head must reach the caller as an error, not as a response that nobody sent. */
class FailingSink implements Sink {
  readonly #sink: Sink;
  readonly #near: MemorySocket;
  #responding = false;

  constructor(sink: Sink, near: MemorySocket) {
    this.#sink = sink;
    this.#near = near;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#sink.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#responding = true;
    this.#sink.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#sink.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#sink.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    if (!this.#responding) this.#near.destroy(error);
    this.#sink.onError(error);
  }
}

class MemoryConnection implements Connection {
  readonly socket: Duplex;
  readonly remoteAddress = "";
  readonly remotePort = 0;
  readonly localAddress = "";
  readonly localPort = 0;
  readonly encrypted: boolean;
  readonly protocol = "http/1";
  context: unknown = null;

  constructor(socket: Duplex, encrypted: boolean) {
    this.socket = socket;
    this.encrypted = encrypted;
  }

  drain(): void {
    this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
