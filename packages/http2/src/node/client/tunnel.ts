import { Duplex } from "node:stream";
import type { Body, BodySink, Exchange } from "../../exchange.js";
import { transportError } from "../../exchange-error.js";
import { SocketTimeout } from "./socket-timeout.js";

/** The request direction of a tunnel. It exists before the tunnel does, since the exchange is sent with it. */
export class TunnelBody implements Body {
  readonly length = -1;
  #sink: BodySink | null = null;
  #paused = false;
  #cancelled = false;
  #ending = false;
  ended = false;
  #waiting: Uint8Array | null = null;
  #callback: (() => void) | null = null;

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#flow();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flow();
  }

  cancel(): void {
    this.#cancelled = true;
    this.ended = true;
    this.#flow();
  }

  /** One at a time: the next only after the callback. */
  write(chunk: Uint8Array, callback: () => void): void {
    this.#waiting = chunk;
    this.#callback = callback;
    this.#flow();
  }

  end(): void {
    this.#ending = true;
    this.#flow();
  }

  #flow(): void {
    if (this.#sink === null && !this.#cancelled) return;
    if (this.#callback !== null && (this.#cancelled || !this.#paused)) {
      const callback = this.#callback;
      const chunk = this.#waiting!;
      this.#callback = null;
      this.#waiting = null;
      if (!this.#cancelled) this.#sink!.onData(chunk);
      callback();
    }
    if (this.#ending && !this.ended && this.#callback === null) {
      this.ended = true;
      this.#sink!.onEnd(null);
    }
  }
}

/**
 * A tunnel (101 or CONNECT) as the socket that an application gets. Destroying it ends the exchange. It isn't a
 * net.Socket: it knows no addresses, and keep-alive and no-delay are the connection's affair.
 */
export class TunnelSocket extends Duplex {
  readonly encrypted: boolean;
  readonly connecting = false;
  readonly #x: Exchange;
  readonly #body: TunnelBody;
  readonly #timeout = new SocketTimeout(this);
  #reading = true;
  #readEnded = false;

  constructor(x: Exchange, body: TunnelBody) {
    super({ allowHalfOpen: false });
    this.encrypted = x.scheme === "https";
    this.#x = x;
    this.#body = body;
    // Without a listener a tunnel that breaks after its owner has gone would end the process.
    this.on("error", ignore);
  }

  /** Bytes from the peer. */
  receive(chunk: Uint8Array): void {
    if (this.destroyed || this.#readEnded) return;
    this.#timeout.refresh();
    if (!this.push(chunk)) {
      this.#reading = false;
      this.#x.flow.pause();
    }
  }

  /** The peer sends no more. */
  receiveEnd(): void {
    if (this.#readEnded) return;
    this.#readEnded = true;
    this.push(null);
  }

  /** The exchange failed. */
  fail(error: Error): void {
    this.#readEnded = true;
    this.#body.cancel();
    this.destroy(error);
  }

  setTimeout(durationMs: number, callback?: () => void): this {
    this.#timeout.set(durationMs, callback);
    return this;
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

  override _read(): void {
    if (this.#reading) return;
    this.#reading = true;
    this.#x.flow.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.#timeout.refresh();
    this.#body.write(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.#body.end();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#timeout.clear();
    if (!this.#readEnded || !this.#body.ended) {
      this.#readEnded = true;
      this.#body.cancel();
      this.#x.flow.abort(
        transportError(
          "SELVAGE_ERR_ABORTED",
          "the application destroyed the tunnel",
          "caller",
          "processed",
          error ?? undefined,
        ),
      );
    }
    callback(error);
  }
}

function ignore(): void {}
