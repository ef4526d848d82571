import { Duplex } from "node:stream";
import type { BodySink, Exchange, Flow, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";

/**
 * The far end of a tunnel (CONNECT) that is answered here: what the client sends can be read, what is written goes back to it.
 * Something that a server accepts as a connection: `server.accept(new ServedTunnel(x, sink))`. Answers 200 when it is made.
 */
export class ServedTunnel extends Duplex implements BodySink {
  readonly encrypted = false;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #x: Exchange;
  readonly #sink: Sink;
  /** What is written waits while the client reads nothing. */
  #held = false;
  #bodyPaused = false;
  #written: (() => void) | null = null;
  /** The sink had its last call. */
  #answered = false;
  #bodyEnded = false;

  constructor(x: Exchange, sink: Sink) {
    super({ allowHalfOpen: true });
    const { connection } = x;
    this.remoteAddress = connection?.remoteAddress ?? "";
    this.remotePort = connection?.remotePort ?? 0;
    this.localAddress = connection?.localAddress ?? "";
    this.localPort = connection?.localPort ?? 0;
    this.#x = x;
    this.#sink = sink;
    this.on("error", ignore);
    x.flow = new TunnelFlow(this);
    sink.onHead(200, []);
    if (!this.#answered) x.body?.pipe(this);
  }

  /** @internal */
  giveUp(reason: ExchangeError): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#sink.onError(reason);
    this.destroy();
  }

  /** @internal */
  hold(held: boolean): void {
    this.#held = held;
    if (!held) this.#drained();
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  onData(chunk: Uint8Array): void {
    if (this.destroyed || this.push(chunk)) return;
    this.#bodyPaused = true;
    this.#x.body?.pause();
  }

  onEnd(): void {
    this.#bodyEnded = true;
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    if (!this.#bodyPaused) return;
    this.#bodyPaused = false;
    this.#x.body?.resume();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: () => void): void {
    if (this.#answered) {
      callback();
      return;
    }
    this.#sink.onData(chunk);
    if (this.#held) this.#written = callback;
    else callback();
  }

  override _final(callback: () => void): void {
    if (!this.#answered) {
      this.#answered = true;
      this.#sink.onEnd(null);
    }
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (!this.#bodyEnded) this.#x.body?.cancel();
    if (!this.#answered) {
      this.#answered = true;
      const text = "the end of the tunnel was destroyed";
      this.#sink.onError(transportError("SELVAGE_ERR_CLOSED", text, "local", "processed", error ?? undefined));
    }
    this.#drained();
    callback(error);
  }

  #drained(): void {
    const written = this.#written;
    this.#written = null;
    written?.();
  }
}

/** The exchange's own controls: a stream has methods of the same names for its other direction. */
class TunnelFlow implements Flow {
  readonly #tunnel: ServedTunnel;

  constructor(tunnel: ServedTunnel) {
    this.#tunnel = tunnel;
  }

  abort(reason: ExchangeError): void {
    this.#tunnel.giveUp(reason);
  }

  pause(): void {
    this.#tunnel.hold(true);
  }

  resume(): void {
    this.#tunnel.hold(false);
  }
}

function ignore(): void {}
