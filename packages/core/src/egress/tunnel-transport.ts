import type { Socket } from "node:net";
import {
  type BodySink,
  type Connect,
  type Exchange,
  type ExchangeError,
  type Flow,
  type Sink,
  transportError,
} from "@selvage/http2";
import type { EndpointTransport } from "../balancer/endpoint.js";

/** A TCP connection for each exchange, whose bytes are none of our business: CONNECT to a name outside the mesh. */
export class TunnelTransport implements EndpointTransport {
  readonly enforcedIdentity = null;
  /** What is inside is up to the two ends. */
  readonly encrypted = true;
  readonly wire = "tunnel";
  readonly #connect: Connect;
  readonly #onClose: (transport: TunnelTransport) => void;
  #first: Tunnel | null = null;
  #ended: (() => void) | null = null;
  #closed = false;

  constructor(connect: Connect, onClose: (transport: TunnelTransport) => void) {
    this.#connect = connect;
    this.#onClose = onClose;
  }

  call(x: Exchange, sink: Sink): void {
    const tunnel = new Tunnel(x, sink, (over) => this.#remove(over));
    tunnel.next = this.#first;
    if (this.#first !== null) this.#first.previous = tunnel;
    this.#first = tunnel;
    tunnel.open(this.#connect);
  }

  close(): void {
    void this.end();
  }

  /** Resolves when the last tunnel has ended by itself. */
  end(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => {
      const before = this.#ended;
      this.#ended = () => {
        before?.();
        resolve();
      };
      this.#endIfEmpty();
    });
  }

  destroy(): void {
    const error = transportError("SELVAGE_ERR_CLOSED", "the mesh is closed", "local");
    for (let tunnel = this.#first; tunnel !== null; ) {
      const following: Tunnel | null = tunnel.next;
      tunnel.destroy(error);
      tunnel = following;
    }
  }

  #remove(tunnel: Tunnel): void {
    if (tunnel.previous !== null) tunnel.previous.next = tunnel.next;
    else this.#first = tunnel.next;
    if (tunnel.next !== null) tunnel.next.previous = tunnel.previous;
    this.#endIfEmpty();
  }

  #endIfEmpty(): void {
    if (!this.#closed || this.#first !== null) return;
    this.#ended?.();
    this.#ended = null;
    this.#onClose(this);
  }
}

class Tunnel implements Flow, BodySink {
  previous: Tunnel | null = null;
  next: Tunnel | null = null;
  readonly #x: Exchange;
  readonly #sink: Sink;
  readonly #onOver: (tunnel: Tunnel) => void;
  #cancel: (() => void) | null = null;
  #socket: Socket | null = null;
  /** The sink had its last call. */
  #answered = false;
  #bodyEnded = false;
  #over = false;

  constructor(x: Exchange, sink: Sink, onOver: (tunnel: Tunnel) => void) {
    this.#x = x;
    this.#sink = sink;
    this.#onOver = onOver;
    x.flow = this;
  }

  open(connect: Connect): void {
    this.#cancel = connect((error, socket) => {
      if (this.#over) return;
      if (socket !== null) this.#opened(socket as Socket);
      else if (error !== null) this.#fail(error);
    });
  }

  abort(reason: ExchangeError): void {
    if (!this.#answered) this.destroy(reason);
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** From the caller. */
  onData(chunk: Uint8Array): void {
    if (this.#socket !== null && !this.#socket.destroyed && !this.#socket.write(chunk)) this.#x.body?.pause();
  }

  /** The caller sends no more. */
  onEnd(): void {
    this.#bodyEnded = true;
    this.#socket?.end();
  }

  destroy(reason: ExchangeError): void {
    if (this.#over) return;
    if (this.#socket === null) this.#cancel?.();
    this.#x.body?.cancel();
    this.#fail(reason);
  }

  #opened(socket: Socket): void {
    this.#socket = socket;
    // The peer's end of the connection isn't ours.
    socket.allowHalfOpen = true;
    socket.unref();
    socket.on("data", (chunk: Buffer) => {
      if (!this.#answered) this.#sink.onData(chunk);
    });
    socket.on("drain", () => this.#x.body?.resume());
    socket.once("end", () => this.#ended());
    socket.once("close", () => this.#closed());
    this.#sink.onHead(200, []);
    if (!this.#over) this.#x.body?.pipe(this);
  }

  /** The peer sends no more; the other direction goes on. */
  #ended(): void {
    if (this.#answered) return;
    this.#answered = true;
    if (this.#x.body === null) this.#socket?.end();
    this.#sink.onEnd(null);
  }

  #closed(): void {
    if (this.#over) return;
    if (!this.#bodyEnded) this.#x.body?.cancel();
    this.#fail(transportError("SELVAGE_ERR_CLOSED", "the connection that the tunnel led to was closed"));
  }

  #fail(error: ExchangeError): void {
    if (this.#over) return;
    this.#over = true;
    this.#socket?.destroy();
    this.#onOver(this);
    if (this.#answered) return;
    this.#answered = true;
    this.#sink.onError(error);
  }
}
