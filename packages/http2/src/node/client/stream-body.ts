import { DispatchError } from "./dispatch-error.js";
import { type BodyOwner, badChunk, chunkBytes, RequestBody } from "./request-body.js";

/** What is used of a Readable: also what streams from before it, and userland ones, have. */
export interface ReadableLike {
  on(event: string, listener: (...args: never[]) => void): unknown;
  removeListener(event: string, listener: (...args: never[]) => void): unknown;
  pause?(): unknown;
  resume?(): unknown;
  destroy?(error?: Error): unknown;
  readonly destroyed?: boolean;
  readonly errored?: Error | null;
  readonly readableEnded?: boolean;
  readonly closed?: boolean;
  read?(size?: number): unknown;
  readonly _readableState?: {
    readonly objectMode?: boolean;
    readonly ended?: boolean;
    readonly length?: number;
  };
}

export function isReadableLike(value: object): value is ReadableLike {
  const { pipe, on } = value as { pipe?: unknown; on?: unknown };
  return typeof pipe === "function" && typeof on === "function";
}

/** Bytes of a stream that has already been written to its end, or -1. */
export function streamLength(stream: ReadableLike): number {
  // Makes an ended stream notice that it has.
  stream.read?.(0);
  const state = stream._readableState;
  return state !== undefined && state.objectMode === false && state.ended === true && Number.isFinite(state.length)
    ? state.length!
    : -1;
}

/** A body read from a Node stream. It listens for errors from the start, and destroys the stream when given up. */
export class StreamBody extends RequestBody {
  readonly #stream: ReadableLike;
  #flowing = false;

  constructor(owner: BodyOwner, stream: ReadableLike, length: number) {
    super(owner, length);
    this.#stream = stream;
    stream.on("error", this.#onError);
    stream.on("close", this.#onClose);
  }

  protected override flow(): void {
    const stream = this.#stream;
    if (this.#flowing) {
      stream.resume?.();
      return;
    }
    this.#flowing = true;
    if (stream.errored) {
      this.fail(stream.errored);
      return;
    }
    if (stream.readableEnded === true) {
      this.finish();
      return;
    }
    if (stream.destroyed === true || stream.closed === true) {
      this.#onClose();
      return;
    }
    stream.on("end", this.#onEnd);
    stream.on("data", this.#onData);
    if (this.paused) stream.pause?.();
    else stream.resume?.();
  }

  protected override pauseSource(): void {
    if (this.#flowing && !this.done) this.#stream.pause?.();
  }

  protected override releaseSource(error: unknown): void {
    const stream = this.#stream;
    stream.removeListener("data", this.#onData);
    stream.removeListener("end", this.#onEnd);
    stream.removeListener("close", this.#onClose);
    // The error listener stays: destroying may still make the stream emit one.
    if (stream.destroyed !== true) stream.destroy?.(error instanceof Error ? error : undefined);
  }

  readonly #onData = (chunk: unknown): void => {
    if (this.done) return;
    const bytes = chunkBytes(chunk);
    if (bytes === null) this.fail(badChunk(chunk));
    else this.deliver(bytes);
  };

  readonly #onEnd = (): void => this.finish();

  readonly #onError = (error: unknown): void => this.fail(error);

  readonly #onClose = (): void => {
    // An 'error' may follow 'close' on streams that break the rules.
    if (!this.done) queueMicrotask(() => this.fail(new DispatchError("UND_ERR_ABORTED", "Request aborted")));
  };
}
