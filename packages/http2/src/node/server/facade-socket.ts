import { EventEmitter } from "node:events";
import type { Server } from "node:http";
import { getDefaultHighWaterMark } from "node:stream";
import type { Connection } from "../../exchange.js";
import type { AppStreamHost } from "./app-stream-host.js";
import { mirrorConnection, type StandIn } from "./connection-facts.js";
import type { Timed } from "./deadline-list.js";
import type { NodeResponse, WriteCallback } from "./node-internals.js";

const highWaterMark = getDefaultHighWaterMark(false);

/** `end()` writes `corked` here; nothing reads it, so that one object serves all. */
const writableState = { corked: 0 };

/** The stream behind a facade, as the facade needs it. */
export interface FacadeOwner {
  readonly host: AppStreamHost;
  readonly connection: Connection | null;
  /** Bytes of the response that wait because the client reads slowly. */
  readonly waitingBytes: number;
  pauseBody(): void;
  resumeBody(): void;
  /** Text that an application writes past its response: a 1xx head, or nothing that can be sent. */
  writeRaw(data: string | Uint8Array, callback: WriteCallback | null): boolean;
  onSocketDestroy(error: Error | undefined): void;
  onSocketTimeout(): void;
}

/**
 * What an application sees as `req.socket` and `res.socket`: one per stream, so that it can be destroyed, paused and timed
 * without touching the connection's other streams. Not a `net.Socket`, and cheaper than one by far.
 *
 * Emits 'timeout', and 'close' when the exchange was cut off. After a complete exchange there is no 'close', since the
 * connection lives on and since `req.signal` (Node 26) takes it for an abort.
 */
export class FacadeSocket extends EventEmitter implements Timed, StandIn {
  readonly #owner: FacadeOwner;
  _httpMessage: NodeResponse | null = null;
  _paused = false;
  _hadError = false;
  destroyed = false;
  closed = false;
  timeout = 0;
  deadlineAt = 0;
  earlier: Timed | null = null;
  later: Timed | null = null;
  timed = false;

  constructor(owner: FacadeOwner) {
    super();
    this.#owner = owner;
  }

  get _writableState(): { corked: number } {
    return writableState;
  }

  get peerConnection(): Connection | null {
    return this.#owner.connection;
  }

  get server(): Server {
    return this.#owner.host.server;
  }

  get readable(): boolean {
    return !this.destroyed;
  }

  get writable(): boolean {
    return !this.destroyed;
  }

  get connecting(): boolean {
    return false;
  }

  get pending(): boolean {
    return false;
  }

  get readyState(): string {
    return this.destroyed ? "closed" : "open";
  }

  get writableLength(): number {
    return this.#owner.waitingBytes;
  }

  get bufferSize(): number {
    return this.#owner.waitingBytes;
  }

  get writableHighWaterMark(): number {
    return highWaterMark;
  }

  get readableHighWaterMark(): number {
    return highWaterMark;
  }

  /** Frames are gathered further down, so a response never needs to cork: it would cost a tick for each write. */
  get writableCorked(): number {
    return 1;
  }

  cork(): void {}
  uncork(): void {}

  pause(): this {
    this.#owner.pauseBody();
    return this;
  }

  resume(): this {
    this.#owner.resumeBody();
    return this;
  }

  write(data: string | Uint8Array, encoding?: unknown, callback?: unknown): boolean {
    const done = typeof encoding === "function" ? encoding : typeof callback === "function" ? callback : null;
    return this.#owner.writeRaw(data, done as WriteCallback | null);
  }

  /** A connection can't be half closed by one of its streams: ends the exchange unless it is over. */
  end(): this {
    return this.destroy();
  }

  destroySoon(): void {
    this.destroy();
  }

  destroy(error?: Error | null): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#owner.onSocketDestroy(error ?? undefined);
    return this;
  }

  /** Milliseconds without a byte in either direction after which 'timeout' is emitted; 0 for never. Late by up to 10 ms. */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    const duration = Number(timeoutMs);
    if (!(duration >= 0)) throw new RangeError(`The value of "msecs" is out of range. Received ${timeoutMs}`);
    this.timeout = duration;
    if (duration === 0 || this.destroyed) {
      this.#owner.host.inactivity.remove(this);
      if (callback !== undefined) this.removeListener("timeout", callback);
      return this;
    }
    if (callback !== undefined) this.once("timeout", callback);
    this.deadlineAt = this.#owner.host.now() + duration;
    this.#owner.host.inactivity.add(this);
    return this;
  }

  /** A byte has moved. */
  touch(): void {
    if (this.timed) this.deadlineAt = this.#owner.host.now() + this.timeout;
  }

  onDeadline(): void {
    this.#owner.onSocketTimeout();
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): object {
    const connection = this.#owner.connection;
    if (connection === null) return {};
    const family = connection.localAddress.includes(":") ? "IPv6" : "IPv4";
    return { address: connection.localAddress, family, port: connection.localPort };
  }
}

mirrorConnection(FacadeSocket.prototype);
