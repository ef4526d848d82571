import type { Body, BodySink, ExchangeError, HeaderList, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";

/** Looks that find nothing new, in a row, until the exchange is idle. More of them are more exact, and cost more. */
const looks = 4;

/** Ends an exchange on which nothing moves for `idleMs`, in either direction; at most a quarter of that later. Returns its sink. */
export function watchIdle(x: MeshExchange, next: Sink, idleMs: number, wheel: TimerWheel): Sink {
  const sink = new IdleSink(x, next, idleMs, wheel);
  if (x.body !== null) x.body = new WatchedBody(x.body, sink);
  wheel.set(sink.timer, x.startedAt + idleMs / looks);
  return sink;
}

/** Notes what moves in a field, since a look at the clock for each piece would cost more than the piece. */
class IdleSink implements Sink, TimerOwner {
  moved = false;
  readonly timer = new WheelTimer(this);
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #idleMs: number;
  readonly #wheel: TimerWheel;
  #still = 0;
  #lookAt: number;

  constructor(x: MeshExchange, next: Sink, idleMs: number, wheel: TimerWheel) {
    this.#x = x;
    this.#next = next;
    this.#idleMs = idleMs;
    this.#wheel = wheel;
    this.#lookAt = x.startedAt + idleMs / looks;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.moved = true;
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.moved = true;
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.moved = true;
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#wheel.cancel(this.timer);
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#wheel.cancel(this.timer);
    this.#next.onError(error);
  }

  onTimer(): void {
    this.#still = this.moved ? 0 : this.#still + 1;
    this.moved = false;
    if (this.#still < looks) {
      this.#lookAt += this.#idleMs / looks;
      this.#wheel.set(this.timer, this.#lookAt);
      return;
    }
    const text = `nothing came from ${this.#x.authority} or went there for ${this.#idleMs} ms`;
    this.#x.flow.abort(meshError("SELVAGE_ERR_IDLE", text, "local", "processed"));
  }
}

/** A body whose pieces count as movement. */
class WatchedBody implements Body, BodySink {
  readonly #body: Body;
  readonly #watch: IdleSink;
  #sink: BodySink | null = null;

  constructor(body: Body, watch: IdleSink) {
    this.#body = body;
    this.#watch = watch;
  }

  get length(): number {
    return this.#body.length;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#body.pipe(this);
  }

  pause(): void {
    this.#body.pause();
  }

  resume(): void {
    this.#body.resume();
  }

  cancel(): void {
    this.#body.cancel();
  }

  onData(chunk: Uint8Array): void {
    this.#watch.moved = true;
    this.#sink!.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#watch.moved = true;
    this.#sink!.onEnd(trailers);
  }
}
