import type { Body, BodySink, HeaderList } from "@selvage/http2";

/**
 * A request's body that can be sent more than once. It passes chunks on as they come and remembers them (the chunks
 * themselves, no copies) up to `maxBytes`; a body that grows beyond is passed on without being kept, and can't be replayed.
 *
 * One attempt reads at a time. Between attempts the source is paused.
 */
export class ReplayBody implements BodySink {
  readonly source: Body;
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #size = 0;
  /** What comes is kept for another attempt. */
  #keeping = true;
  #overflowed = false;
  #started = false;
  #ended = false;
  #canceled = false;
  #trailers: HeaderList | null = null;
  #attempt: ReplayAttempt | null = null;

  constructor(source: Body, maxBytes: number) {
    this.source = source;
    this.#maxBytes = maxBytes;
    // There is no point in keeping the start of what is declared to be too long.
    if (source.length > maxBytes) this.#keeping = false;
  }

  /** Whether another attempt can get the whole body. */
  get replayable(): boolean {
    return !this.#canceled && !this.#overflowed && (this.#keeping || !this.#started);
  }

  /** The body for an attempt beside the current one; `null` while not all of it has come, or when it was not kept. */
  copy(): Body | null {
    return this.#ended && this.#keeping ? new KeptBody(this.#chunks, this.#trailers, this.source.length) : null;
  }

  /** The body for one more attempt. The attempt before gets nothing any more. */
  attempt(): Body {
    this.#attempt = new ReplayAttempt(this);
    return this.#attempt;
  }

  /** There won't be another attempt: what was kept is let go as soon as the current one has it. */
  commit(): void {
    this.#keeping = false;
    if (this.#attempt === null) this.#cancelSource();
    else if (this.#attempt.position === this.#chunks.length) this.#forget(this.#attempt);
  }

  /** Nobody reads any more. */
  release(): void {
    this.#keeping = false;
    this.#attempt = null;
    this.#chunks = [];
    this.#cancelSource();
  }

  onData(chunk: Uint8Array): void {
    if (this.#keeping) {
      this.#size += chunk.length;
      if (this.#size > this.#maxBytes) this.#keeping = false;
    }
    if (!this.#keeping) this.#overflowed = true;
    const attempt = this.#attempt;
    const live = attempt !== null && attempt.sink !== null;
    if (live && attempt.position === this.#chunks.length) {
      if (this.#keeping) attempt.position = this.#chunks.push(chunk);
      else this.#forget(attempt);
      attempt.sink!.onData(chunk);
    } else if (this.#keeping || live) {
      this.#chunks.push(chunk);
    } else {
      this.#chunks = [];
    }
  }

  onEnd(trailers: HeaderList | null): void {
    this.#ended = true;
    this.#trailers = trailers;
    const attempt = this.#attempt;
    if (attempt !== null && attempt.position === this.#chunks.length) attempt.end(trailers);
  }

  /** For attempts: starts, or goes on with, delivery. */
  pump(attempt: ReplayAttempt): void {
    if (attempt !== this.#attempt || attempt.pumping) return;
    if (!this.#started) {
      this.#started = true;
      this.source.pipe(this);
      return;
    }
    attempt.pumping = true;
    while (attempt === this.#attempt && !attempt.paused && attempt.position < this.#chunks.length) {
      attempt.sink?.onData(this.#chunks[attempt.position++]!);
    }
    attempt.pumping = false;
    if (attempt !== this.#attempt || attempt.paused || attempt.sink === null) return;
    if (!this.#keeping) this.#forget(attempt);
    if (this.#ended) attempt.end(this.#trailers);
    else this.source.resume();
  }

  /** For attempts. */
  paused(attempt: ReplayAttempt): void {
    if (attempt === this.#attempt && !this.#ended) this.source.pause();
  }

  /** For attempts. */
  canceled(attempt: ReplayAttempt): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = null;
    if (!this.replayable) this.#cancelSource();
    else if (this.#started && !this.#ended) this.source.pause();
  }

  #forget(attempt: ReplayAttempt): void {
    if (this.#chunks.length > 0) this.#chunks = [];
    attempt.position = 0;
  }

  #cancelSource(): void {
    if (this.#canceled || this.#ended) return;
    this.#canceled = true;
    this.source.cancel();
  }
}

/** A body that is there as a whole. */
class KeptBody implements Body {
  readonly length: number;
  readonly #chunks: readonly Uint8Array[];
  readonly #trailers: HeaderList | null;
  #sink: BodySink | null = null;
  #next = 0;
  #paused = false;
  #pumping = false;

  constructor(chunks: readonly Uint8Array[], trailers: HeaderList | null, length: number) {
    this.length = length;
    this.#chunks = chunks;
    this.#trailers = trailers;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#pump();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#pump();
  }

  cancel(): void {
    this.#sink = null;
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#sink !== null && !this.#paused && this.#next < this.#chunks.length) {
      this.#sink.onData(this.#chunks[this.#next++]!);
    }
    this.#pumping = false;
    if (this.#sink === null || this.#paused) return;
    const sink = this.#sink;
    this.#sink = null;
    sink.onEnd(this.#trailers);
  }
}

/** What one attempt sees of the body. */
export class ReplayAttempt implements Body {
  readonly length: number;
  /** How many of the kept chunks it has got. */
  position = 0;
  paused = false;
  pumping = false;
  sink: BodySink | null = null;
  readonly #body: ReplayBody;

  constructor(body: ReplayBody) {
    this.length = body.source.length;
    this.#body = body;
  }

  pipe(sink: BodySink): void {
    this.sink = sink;
    this.#body.pump(this);
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.#body.paused(this);
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    if (this.sink !== null) this.#body.pump(this);
  }

  cancel(): void {
    this.sink = null;
    this.#body.canceled(this);
  }

  /** The same body for an attempt beside this one, `null` when that can't be. */
  copy(): Body | null {
    return this.#body.copy();
  }

  end(trailers: HeaderList | null): void {
    const sink = this.sink;
    this.sink = null;
    sink?.onEnd(trailers);
  }
}
