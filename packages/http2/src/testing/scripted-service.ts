import type { BodySink, Exchange, Flow, HeaderList, Service, Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";

/** One response. `error` alone fails the exchange; with other fields, after what they say was sent. */
export interface Answer {
  readonly informational?: readonly { readonly status: number; readonly headers: HeaderList }[];
  /** @defaultValue 200 */
  readonly status?: number;
  readonly headers?: HeaderList;
  readonly body?: string | Uint8Array | readonly Uint8Array[];
  /** The request's body is the response's body: for echoes and tunnels. Not together with `body`. */
  readonly echo?: boolean;
  readonly trailers?: HeaderList | null;
  readonly error?: ExchangeError;
}

/** One exchange that a `ScriptedService` got. */
export class ScriptedCall implements Flow, BodySink {
  readonly x: Exchange;
  readonly sink: Sink;
  readonly chunks: Uint8Array[] = [];
  trailers: HeaderList | null = null;
  paused = false;
  /** Why it was aborted, if it was. */
  aborted: ExchangeError | null = null;
  /** Its terminal call was made. */
  over = false;
  /** Resolves with the whole request body; at once when there is none. */
  readonly body: Promise<Buffer>;
  #bodyDone: (body: Buffer) => void = () => {};
  #echoing = false;

  constructor(x: Exchange, sink: Sink) {
    this.x = x;
    this.sink = sink;
    this.body = new Promise((resolve) => {
      this.#bodyDone = resolve;
    });
    x.flow = this;
    if (x.body === null) this.#bodyDone(Buffer.alloc(0));
    else if (!x.tunnel) x.body.pipe(this);
  }

  /** Sends a response. Does nothing when the exchange is over. */
  answer(answer: Answer): void {
    const { sink, x } = this;
    for (const { status, headers } of answer.informational ?? []) if (!this.over) sink.onInformational(status, headers);
    const onlyError = answer.error !== undefined && answer.status === undefined && answer.body === undefined;
    if (!onlyError && !this.over) sink.onHead(answer.status ?? 200, answer.headers ?? []);
    if (answer.echo === true) {
      this.#echoing = true;
      if (x.tunnel) x.body?.pipe(this);
      else this.#echo();
      return;
    }
    const { body = [] } = answer;
    for (const chunk of typeof body === "string" || body instanceof Uint8Array ? [body] : body) {
      if (!this.over && chunk.length > 0) sink.onData(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
    }
    if (answer.error !== undefined) this.#end((error) => sink.onError(error), answer.error);
    else this.#end((trailers) => sink.onEnd(trailers), answer.trailers ?? null);
  }

  abort(reason: ExchangeError): void {
    if (this.over) return;
    this.aborted = reason;
    this.x.body?.cancel();
    this.#end((error) => this.sink.onError(error), reason);
  }

  pause(): void {
    this.paused = true;
    if (this.#echoing) this.x.body?.pause();
  }

  resume(): void {
    this.paused = false;
    if (this.#echoing) this.x.body?.resume();
  }

  onData(chunk: Uint8Array): void {
    if (this.#echoing) {
      if (!this.over) this.sink.onData(chunk);
    } else this.chunks.push(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.trailers = trailers;
    this.#bodyDone(Buffer.concat(this.chunks));
    if (this.#echoing) this.#end((given) => this.sink.onEnd(given), trailers);
    else this.#bodyEnded = true;
  }

  #bodyEnded = false;

  #echo(): void {
    for (const chunk of this.chunks.splice(0)) if (!this.over) this.sink.onData(chunk);
    if (this.#bodyEnded || this.x.body === null) this.#end((given) => this.sink.onEnd(given), this.trailers);
  }

  #end<T>(terminal: (value: T) => void, value: T): void {
    if (this.over) return;
    this.over = true;
    terminal(value);
  }
}

/**
 * A service that answers by script and keeps what it got. The script is asked for each exchange: an answer is sent at once,
 * `null` leaves it to the test, which finds the call in `calls` or by `next()`.
 */
export class ScriptedService implements Service {
  readonly calls: ScriptedCall[] = [];
  readonly #script: (call: ScriptedCall) => Answer | null;
  readonly #waiting: ((call: ScriptedCall) => void)[] = [];
  #taken = 0;

  constructor(script: Answer | null | ((call: ScriptedCall) => Answer | null) = {}) {
    this.#script = typeof script === "function" ? script : () => script;
  }

  call(x: Exchange, sink: Sink): void {
    const call = new ScriptedCall(x, sink);
    this.calls.push(call);
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      this.#taken++;
      waiting(call);
    }
    const answer = this.#script(call);
    if (answer !== null) call.answer(answer);
  }

  /** The next call that wasn't taken by this before, in order. */
  next(): Promise<ScriptedCall> {
    const call = this.calls[this.#taken];
    if (call === undefined) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    return Promise.resolve(call);
  }
}
