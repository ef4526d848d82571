import type { Body, BodySink, HeaderList } from "../exchange.js";

/** A request body that a test feeds, and that shows what its consumer asked for. */
export class TestBody implements Body {
  readonly length: number;
  paused = false;
  cancelled = false;
  piped = false;
  #sink: BodySink | null = null;
  #queue: Uint8Array[] = [];
  #ended = false;
  #trailers: HeaderList | null = null;
  #onResume: (() => void) | null = null;

  constructor(length = -1) {
    this.length = length;
  }

  /** Delivers a chunk, or keeps it until the body is piped and not paused. */
  push(chunk: Uint8Array | string): void {
    this.#queue.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    this.#flow();
  }

  end(trailers: HeaderList | null = null): void {
    this.#ended = true;
    this.#trailers = trailers;
    this.#flow();
  }

  /** Resolves as soon as the consumer wants more. */
  async writable(): Promise<void> {
    if (this.paused) {
      await new Promise<void>((resolve) => {
        this.#onResume = resolve;
      });
    }
  }

  pipe(sink: BodySink): void {
    if (this.piped) throw new Error("the body was piped before");
    this.piped = true;
    this.#sink = sink;
    this.#flow();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#onResume?.();
    this.#onResume = null;
    this.#flow();
  }

  cancel(): void {
    this.cancelled = true;
    this.#queue = [];
    this.#sink = null;
    this.resume();
  }

  #flow(): void {
    while (!this.paused && this.#sink !== null) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#sink.onData(chunk);
      } else if (this.#ended) {
        const sink = this.#sink;
        this.#sink = null;
        sink.onEnd(this.#trailers);
      } else {
        return;
      }
    }
  }
}
