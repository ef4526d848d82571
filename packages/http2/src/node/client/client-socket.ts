import { EventEmitter } from "node:events";
import { getDefaultHighWaterMark } from "node:stream";
import type { RequestInternals } from "./client-internals.js";
import { SocketTimeout } from "./socket-timeout.js";

const highWaterMark = getDefaultHighWaterMark(false);

/** `end()` writes `corked` here, and stream.finished reads `closed`; so that two objects serve all. */
const openState = { corked: 0, closed: false };
const closedState = { corked: 0, closed: true };

/** The request behind a facade, as the facade needs it. */
export interface ClientSocketOwner {
  /** Bytes of the request's body that wait because the peer reads slowly. */
  readonly waitingBytes: number;
  pauseResponse(): void;
  resumeResponse(): void;
  onSocketDestroy(error: Error | null): void;
}

/**
 * What an application sees as `req.socket` of a request: one per request, so that it can be destroyed, paused and timed
 * without touching other requests on the connection. Not a `net.Socket`; it knows no addresses, since the request may
 * be sent to one endpoint or, by retries, to several.
 */
export class ClientSocket extends EventEmitter {
  readonly #owner: ClientSocketOwner;
  readonly #timeout = new SocketTimeout(this);
  readonly encrypted: boolean;
  _httpMessage: RequestInternals | null;
  _paused = false;
  _hadError = false;
  destroyed = false;
  /** A second request never comes over it. */
  readonly connecting = false;
  readonly pending = false;
  readonly parser = null;

  constructor(owner: ClientSocketOwner, request: RequestInternals, encrypted: boolean) {
    super();
    this.#owner = owner;
    this._httpMessage = request;
    this.encrypted = encrypted;
  }

  get _writableState(): { corked: number; closed: boolean } {
    return this.destroyed ? closedState : openState;
  }

  get readable(): boolean {
    return !this.destroyed;
  }

  get writable(): boolean {
    return !this.destroyed;
  }

  get authorized(): boolean {
    return this.encrypted;
  }

  get writableLength(): number {
    return this.#owner.waitingBytes;
  }

  get writableHighWaterMark(): number {
    return highWaterMark;
  }

  get readableHighWaterMark(): number {
    return highWaterMark;
  }

  get writableCorked(): number {
    return 0;
  }

  get timeout(): number {
    return this.#timeout.durationMs;
  }

  cork(): void {}

  uncork(): void {}

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  address(): Record<string, never> {
    return {};
  }

  getPeerCertificate(): Record<string, never> {
    return {};
  }

  /** Requests write through their own methods: there is no text of HTTP/1 to add to. */
  write(): boolean {
    return false;
  }

  end(): this {
    return this.destroy();
  }

  destroySoon(): this {
    return this.destroy();
  }

  pause(): this {
    this._paused = true;
    this.#owner.pauseResponse();
    return this;
  }

  resume(): this {
    this._paused = false;
    this.#owner.resumeResponse();
    return this;
  }

  isPaused(): boolean {
    return this._paused;
  }

  setTimeout(durationMs: number, callback?: () => void): this {
    this.#timeout.set(durationMs, callback);
    return this;
  }

  /** Bytes went over it. */
  touch(): void {
    this.#timeout.refresh();
  }

  /** The exchange is over: nothing can time out any more. */
  settle(): void {
    this.#timeout.clear();
  }

  destroy(error?: Error | null): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    this.#owner.onSocketDestroy(error ?? null);
    return this;
  }
}
