import type { Body, BodySink } from "../../exchange.js";
import { DispatchError } from "./dispatch-error.js";

/** Who sends a body, and is told how it went. */
export interface BodyOwner {
  /** The source failed, or didn't hold what was declared: the exchange is to be given up, with this as its reason. */
  bodyFailed(error: unknown): void;
  bodyChunkSent(chunk: Uint8Array): void;
  bodySent(): void;
}

/** A request's body whose source is an object of the application's. */
export abstract class RequestBody implements Body {
  readonly length: number;
  protected readonly owner: BodyOwner;
  protected sink: BodySink | null = null;
  protected paused = false;
  /** Nothing may be delivered any more: ended, failed, cancelled. */
  protected done = false;
  #sent = 0;

  /** @param length Bytes, or -1 when not known. Another number of bytes in the source fails the request. */
  constructor(owner: BodyOwner, length: number) {
    this.owner = owner;
    this.length = length;
  }

  pipe(sink: BodySink): void {
    if (this.sink !== null) return;
    this.sink = sink;
    if (!this.done) this.flow();
  }

  pause(): void {
    this.paused = true;
    this.pauseSource();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (!this.done && this.sink !== null) this.flow();
  }

  cancel(): void {
    this.destroy(null);
  }

  /** Gives the source up. `error` is what the source is told, if it can be told anything. */
  destroy(error: unknown): void {
    if (this.done) return;
    this.done = true;
    this.releaseSource(error);
  }

  /** Starts or continues delivery. */
  protected abstract flow(): void;
  protected abstract releaseSource(error: unknown): void;
  protected pauseSource(): void {}

  protected deliver(chunk: Uint8Array): void {
    if (this.done || chunk.byteLength === 0) return;
    this.#sent += chunk.byteLength;
    if (this.length >= 0 && this.#sent > this.length) {
      this.fail(mismatch());
      return;
    }
    this.sink!.onData(chunk);
    this.owner.bodyChunkSent(chunk);
  }

  protected finish(): void {
    if (this.done) return;
    if (this.length >= 0 && this.#sent !== this.length) {
      this.fail(mismatch());
      return;
    }
    this.done = true;
    this.sink?.onEnd(null);
    this.owner.bodySent();
  }

  protected fail(error: unknown): void {
    if (this.done) return;
    this.destroy(error);
    this.owner.bodyFailed(error);
  }
}

export function mismatch(): DispatchError {
  return new DispatchError(
    "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH",
    "Request body length does not match content-length header",
  );
}

/** A body that is in memory as a whole. */
export class BytesBody extends RequestBody {
  readonly #bytes: Uint8Array;

  constructor(owner: BodyOwner, bytes: Uint8Array) {
    super(owner, bytes.byteLength);
    this.#bytes = bytes;
  }

  protected override flow(): void {
    this.deliver(this.#bytes);
    this.finish();
  }

  protected override releaseSource(): void {}
}

/** The bytes of a chunk, or `null` if it is none. */
export function chunkBytes(chunk: unknown): Uint8Array | null {
  if (typeof chunk === "string") return Buffer.from(chunk);
  if (chunk instanceof Uint8Array) return chunk;
  if (ArrayBuffer.isView(chunk)) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (chunk instanceof ArrayBuffer || chunk instanceof SharedArrayBuffer) return Buffer.from(chunk);
  return null;
}

export function badChunk(chunk: unknown): TypeError {
  return new TypeError(
    `a chunk of a request body must be a string or bytes, got ${chunk === null ? "null" : typeof chunk}`,
  );
}
