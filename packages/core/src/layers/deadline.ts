import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import { headerValue, isGrpcRequest } from "../telemetry/classification.js";
import { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.js";
import { watchIdle } from "./idle.js";
import { withoutHeader } from "./without-header.js";

/**
 * Ends an exchange when its time is over: the route's timeout, the caller's own deadline (`x.deadlineAt`, `grpc-timeout`),
 * whichever comes first, and when nothing moves for as long as the route's idle timeout. It covers everything, retries and the body of the response included; a tunnel only up to its head.
 * gRPC peers are told what is left.
 */
export class DeadlineLayer implements Layer {
  readonly name = "deadline";
  readonly #wheel: TimerWheel;

  constructor(wheel: TimerWheel) {
    this.#wheel = wheel;
  }

  wrap(inner: Service): Service {
    return new DeadlineService(inner, this.#wheel);
  }
}

class DeadlineService implements Service {
  readonly #inner: Service;
  readonly #wheel: TimerWheel;

  constructor(inner: Service, wheel: TimerWheel) {
    this.#inner = inner;
    this.#wheel = wheel;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { timeoutMs, idleTimeoutMs = 0 } = x.route!;
    if (idleTimeoutMs > 0) sink = watchIdle(x, sink, idleTimeoutMs, this.#wheel);
    let at = x.deadlineAt;
    if (timeoutMs > 0) at = Math.min(at, x.startedAt + timeoutMs);
    if (isGrpcRequest(x.method, x.headers)) at = tellDeadline(x, at);
    if (at === Number.POSITIVE_INFINITY) {
      this.#inner.call(x, sink);
      return;
    }
    x.deadlineAt = at;
    const deadline = new DeadlineSink(x, sink, this.#wheel);
    if (at <= x.startedAt) {
      x.body?.cancel();
      sink.onError(deadline.error());
      return;
    }
    this.#wheel.set(deadline.timer, at);
    this.#inner.call(x, deadline);
  }
}

/** The earlier of `at` and what `grpc-timeout` says, and the header set to it. */
function tellDeadline(x: MeshExchange, at: number): number {
  const value = headerValue(x.headers, "grpc-timeout");
  const asked = value === null ? -1 : parseGrpcTimeout(value);
  if (asked >= 0 && x.startedAt + asked <= at) return x.startedAt + asked;
  if (at === Number.POSITIVE_INFINITY) return at;
  const headers = withoutHeader(x.headers, "grpc-timeout");
  headers.push("grpc-timeout", formatGrpcTimeout(Math.max(0, at - x.startedAt)));
  x.headers = headers;
  return at;
}

class DeadlineSink implements Sink, TimerOwner {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #wheel: TimerWheel;
  readonly timer = new WheelTimer(this);

  constructor(x: MeshExchange, next: Sink, wheel: TimerWheel) {
    this.#x = x;
    this.#next = next;
    this.#wheel = wheel;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.#x.tunnel && (status === 101 || (status >= 200 && status < 300))) this.#wheel.cancel(this.timer);
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
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
    this.#x.flow.abort(this.error());
  }

  error(): ExchangeError {
    const { startedAt, deadlineAt, attempt, authority } = this.#x;
    const text = `${authority} did not answer within ${Math.round(deadlineAt - startedAt)} ms (attempt ${attempt})`;
    return meshError("SELVAGE_ERR_DEADLINE", text, "local", "processed");
  }
}
