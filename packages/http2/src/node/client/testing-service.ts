import type { BodySink, Exchange, Flow, HeaderList, Service, Sink } from "../../exchange.js";
import type { ExchangeError } from "../../exchange-error.js";

/** One exchange at a {@link TestingService}: the peer's side of it, to be played by a test. */
export class PlayedExchange implements Flow, BodySink {
  readonly x: Exchange;
  readonly #sink: Sink;
  readonly received: Uint8Array[] = [];
  receivedTrailers: HeaderList | null = null;
  receivedEnd = false;
  abortedWith: ExchangeError | null = null;
  paused = false;
  pauses = 0;
  over = false;
  /** Called after every event of the request. */
  onRequest: (() => void) | null = null;
  onResume: (() => void) | null = null;

  constructor(x: Exchange, sink: Sink) {
    this.x = x;
    this.#sink = sink;
  }

  /** The request's body so far. */
  get text(): string {
    return Buffer.concat(this.received).toString();
  }

  header(name: string): string | undefined {
    const at = this.x.headers.findIndex((field, i) => i % 2 === 0 && field === name);
    return at < 0 ? undefined : this.x.headers[at + 1];
  }

  readBody(): void {
    if (this.x.body === null) this.receivedEnd = true;
    else this.x.body.pipe(this);
  }

  /** Calls back when the request's body has ended. */
  whenReceived(action: () => void): void {
    if (this.receivedEnd) {
      action();
      return;
    }
    this.onRequest = () => {
      if (!this.receivedEnd) return;
      this.onRequest = null;
      action();
    };
  }

  abort(reason: ExchangeError): void {
    this.abortedWith ??= reason;
    this.x.body?.cancel();
    this.fail(reason);
    this.onRequest?.();
  }

  pause(): void {
    this.paused = true;
    this.pauses++;
  }

  resume(): void {
    this.paused = false;
    this.onResume?.();
  }

  onData(chunk: Uint8Array): void {
    this.received.push(chunk);
    this.onRequest?.();
  }

  onEnd(trailers: HeaderList | null): void {
    this.receivedEnd = true;
    this.receivedTrailers = trailers;
    this.onRequest?.();
  }

  informational(status: number, headers: HeaderList = []): void {
    if (!this.over) this.#sink.onInformational(status, headers);
  }

  head(status: number, headers: HeaderList = []): void {
    if (!this.over) this.#sink.onHead(status, headers);
  }

  data(chunk: string | Uint8Array): void {
    if (!this.over) this.#sink.onData(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }

  end(trailers: HeaderList | null = null): void {
    if (this.over) return;
    this.over = true;
    this.#sink.onEnd(trailers);
  }

  fail(error: ExchangeError): void {
    if (this.over) return;
    this.over = true;
    this.#sink.onError(error);
  }

  respond(status: number, headers: HeaderList = [], body?: string | Uint8Array): void {
    this.head(status, headers);
    if (body !== undefined) this.data(body);
    this.end();
  }
}

/** A service whose peer is a function of the test's. It reads request bodies at once, except of tunnels. */
export class TestingService implements Service {
  readonly played: PlayedExchange[] = [];
  readonly #play: (exchange: PlayedExchange) => void;
  readonly #reading: boolean;

  /** @param reading Whether bodies are read, or `play` calls `readBody` when it wants to. */
  constructor(play: (exchange: PlayedExchange) => void, reading = true) {
    this.#play = play;
    this.#reading = reading;
  }

  get last(): PlayedExchange {
    return this.played[this.played.length - 1]!;
  }

  call(x: Exchange, sink: Sink): void {
    const exchange = new PlayedExchange(x, sink);
    x.flow = exchange;
    this.played.push(exchange);
    if (!x.tunnel && this.#reading) exchange.readBody();
    this.#play(exchange);
  }
}

/** Answers with what it got, as JSON: `{ method, path, authority, headers, body }`. */
export function playEcho(exchange: PlayedExchange): void {
  exchange.whenReceived(() => {
    const { method, path, authority, scheme, headers } = exchange.x;
    const body = JSON.stringify({ method, path, authority, scheme, headers, body: exchange.text });
    exchange.respond(
      200,
      ["content-type", "application/json", "content-length", String(Buffer.byteLength(body))],
      body,
    );
  });
}
