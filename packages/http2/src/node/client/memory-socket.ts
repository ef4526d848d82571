import { Duplex } from "node:stream";
import { SocketTimeout } from "./socket-timeout.js";

/**
 * One of two ends of a connection in memory, with what node:http and node:http2 call on a socket. Back pressure is that of
 * the streams: a write is done when the other end has room.
 */
export class MemorySocket extends Duplex {
  readonly connecting = false;
  readonly #timeout = new SocketTimeout(this);
  #peer: MemorySocket | null = null;
  #written: (() => void) | null = null;

  constructor() {
    super({ allowHalfOpen: true });
    this.on("error", ignore);
  }

  /** Makes both ends. */
  static pair(): readonly [MemorySocket, MemorySocket] {
    const near = new MemorySocket();
    const far = new MemorySocket();
    near.#peer = far;
    far.#peer = near;
    return [near, far];
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

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  override _read(): void {
    const written = this.#written;
    this.#written = null;
    if (written !== null) process.nextTick(written);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error) => void): void {
    const peer = this.#peer;
    this.#timeout.refresh();
    if (peer === null || peer.destroyed) {
      callback(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
      return;
    }
    peer.#timeout.refresh();
    if (peer.push(chunk)) process.nextTick(callback);
    else peer.#written = callback;
  }

  override _final(callback: () => void): void {
    const peer = this.#peer;
    if (peer !== null && !peer.destroyed) peer.push(null);
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#timeout.clear();
    const peer = this.#peer;
    this.#peer = null;
    const written = this.#written;
    this.#written = null;
    written?.();
    if (peer !== null) process.nextTick(hangUp, peer, this.writableFinished && error === null);
    callback(error);
  }

  /** The other end is gone. */
  lose(clean: boolean): void {
    if (this.destroyed) return;
    this.#peer = null;
    const written = this.#written;
    this.#written = null;
    written?.();
    if (!clean) this.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
    else if (!this.readableEnded) this.push(null);
  }
}

function hangUp(socket: MemorySocket, clean: boolean): void {
  socket.lose(clean);
}

function ignore(): void {}
