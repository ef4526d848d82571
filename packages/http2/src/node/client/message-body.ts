import type { Body, BodySink, HeaderList } from "../../exchange.js";
import type { WriteCallback } from "./client-internals.js";

interface Piece {
  readonly bytes: Uint8Array;
  readonly callback: WriteCallback | null;
}

/** Who writes a {@link MessageBody}. */
export interface MessageBodyOwner {
  /** All that was written has been taken. */
  bodyDrained(): void;
  bodyTouched(): void;
  /** Another number of bytes was written than had been declared. */
  bodyMismatched(written: number, declared: number): void;
}

/** The body of a ClientRequest, written piece by piece. */
export class MessageBody implements Body {
  length = -1;
  readonly #owner: MessageBodyOwner;
  #pieces: Piece[] = [];
  #sink: BodySink | null = null;
  #paused = false;
  #flowing = false;
  #ended = false;
  #trailers: HeaderList | null = null;
  done = false;
  /** Bytes that wait. */
  waitingBytes = 0;
  /** Bytes ever written. */
  writtenBytes = 0;

  constructor(owner: MessageBodyOwner) {
    this.#owner = owner;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Whether anything was written that has bytes. */
  get hasBytes(): boolean {
    return this.writtenBytes > 0;
  }

  write(bytes: Uint8Array, callback: WriteCallback | null): void {
    this.writtenBytes += bytes.byteLength;
    if (this.done) {
      if (callback !== null) process.nextTick(callback);
      return;
    }
    if (this.length >= 0 && this.writtenBytes > this.length) {
      this.#owner.bodyMismatched(this.writtenBytes, this.length);
      return;
    }
    this.waitingBytes += bytes.byteLength;
    this.#pieces.push({ bytes, callback });
    this.#flow();
  }

  end(trailers: HeaderList | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#trailers = trailers;
    this.#flow();
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    // The length was set when some of it had been written.
    if (this.length >= 0 && this.writtenBytes > this.length) this.#owner.bodyMismatched(this.writtenBytes, this.length);
    else this.#flow();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#flow();
  }

  /** What waits and what is still written is thrown away, as if it had been sent. */
  cancel(): void {
    this.#drop(null);
  }

  /** The request has failed: the callbacks of what waits are told. */
  destroy(error: Error): void {
    this.#drop(error);
  }

  #drop(error: Error | null): void {
    if (this.done) return;
    this.done = true;
    const pieces = this.#pieces;
    this.#pieces = [];
    this.waitingBytes = 0;
    for (const { callback } of pieces) if (callback !== null) process.nextTick(callback, error);
    if (error === null) this.#owner.bodyDrained();
  }

  #flow(): void {
    if (this.#sink === null || this.#flowing || this.done) return;
    this.#flowing = true;
    let taken = 0;
    while (taken < this.#pieces.length && !this.#paused && !this.done) {
      const { bytes, callback } = this.#pieces[taken++]!;
      this.waitingBytes -= bytes.byteLength;
      if (bytes.byteLength > 0) {
        this.#sink.onData(bytes);
        this.#owner.bodyTouched();
      }
      if (callback !== null) process.nextTick(callback);
    }
    this.#flowing = false;
    if (this.done) return;
    if (taken > 0) this.#pieces.splice(0, taken);
    if (this.#pieces.length > 0) return;
    if (this.#ended && this.length >= 0 && this.writtenBytes !== this.length) {
      this.#owner.bodyMismatched(this.writtenBytes, this.length);
    } else if (this.#ended) {
      this.done = true;
      this.#sink.onEnd(this.#trailers);
    } else if (taken > 0) this.#owner.bodyDrained();
  }
}
