import {
  type Body,
  ExchangeError,
  type Flow,
  type HeaderList,
  type Service,
  type Sink,
  transportError,
} from "@selvage/http2";
import type { Endpoint } from "../balancer/endpoint.js";
import type { HedgeConfig } from "../config/config.js";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import { headReason } from "../resilience/repeatable.js";
import { ReplayAttempt } from "../resilience/replay-body.js";
import type { Clock } from "../runtime/clock.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";

export interface HedgeParts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
}

// Says nothing about the endpoint: failure accrual doesn't count it. Its latency counts as far as it is known.
const lost = transportError("SELVAGE_ERR_ABORTED", "an attempt beside this one was used", "local");
/**
 * Counts like a timeout: else who never answers would never be ejected, since its attempts are cancelled before they fail. Not all
 * that lose count: a delay that one in twenty healthy answers needs is passed by many of them.
 */
const overdue = meshError(
  "SELVAGE_ERR_PER_TRY_TIMEOUT",
  "no response in twice the time in which an attempt beside this one had one",
  "local",
  "processed",
);
/** How many times as long as the winner an attempt must have had to be overdue: the request itself says what is to be expected. */
const overdueFactor = 2;

/**
 * Part of `retry`, for routes that hedge: what is one attempt to it may become several. When an attempt has no head after a
 * while, another endpoint is asked too. The first head that isn't worth a retry wins, the other attempts are cancelled; only
 * when all have failed is that a failure of the attempt. Each of them costs the authority's retry budget, and bodies have
 * to be there as a whole.
 *
 * To be called with what may be repeated although the peer may have acted on it.
 */
export class HedgeService implements Service {
  readonly #inner: Service;
  readonly #parts: HedgeParts;

  constructor(inner: Service, parts: HedgeParts) {
    this.#inner = inner;
    this.#parts = parts;
  }

  call(x: MeshExchange, sink: Sink): void {
    new Hedging(x, sink, x.route!.retry.hedge!, this.#inner, this.#parts).start();
  }
}

class Hedging implements Flow, TimerOwner {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #hedge: HedgeConfig;
  readonly #inner: Service;
  readonly #parts: HedgeParts;
  readonly #timer = new WheelTimer(this);
  /** Those that may still win, in the order in which they began. */
  readonly #tries: Try[] = [];
  #first: Try | null = null;
  #winner: Try | null = null;
  #over = false;
  #paused = false;
  /** A peer may have acted on a try that failed. */
  #acted = false;

  constructor(x: MeshExchange, next: Sink, hedge: HedgeConfig, inner: Service, parts: HedgeParts) {
    this.#x = x;
    this.#next = next;
    this.#hedge = hedge;
    this.#inner = inner;
    this.#parts = parts;
  }

  start(): void {
    const x = this.#x;
    x.flow = this;
    x.endpoint = null;
    if (x.hedges < this.#hedge.limit) this.#setTimer();
    this.#begin(x.body);
  }

  /** The last try has been without a head for a while. */
  onTimer(): void {
    const x = this.#x;
    const busy: Endpoint[] = [];
    for (const { x: own } of this.#tries) if (own.endpoint !== null) busy.push(own.endpoint);
    const body = x.body instanceof ReplayAttempt ? x.body.copy() : null;
    // It may be able to later: when endpoints are found, its body has come, another endpoint is ready.
    const found = busy.length === this.#tries.length;
    if (!found || (x.body !== null && body === null) || !x.target!.balancer.hasOther(busy)) {
      this.#setTimer();
      return;
    }
    if (!x.target!.budget.withdraw(this.#parts.clock.now())) {
      x.target!.retryMetrics.budgetExhausted.increment();
      return;
    }
    x.hedges++;
    x.target!.retryMetrics.retried("hedge");
    if (x.hedges < this.#hedge.limit) this.#setTimer();
    for (const endpoint of busy) x.avoid(endpoint);
    this.#begin(body);
  }

  onInformational(attempt: Try, status: number, headers: HeaderList): void {
    // Of several, the first: two would answer one request twice.
    if (this.#winner === null && attempt === this.#tries[0]) this.#next.onInformational(status, headers);
  }

  onHead(attempt: Try, status: number, headers: HeaderList): void {
    const x = this.#x;
    if (this.#tries.length > 1 && headReason(x.route!.retry, x, status, headers) !== null) {
      this.#acted = true;
      this.#drop(attempt);
      attempt.lose(lost);
      return;
    }
    this.#parts.wheel.cancel(this.#timer);
    this.#winner = attempt;
    const now = this.#parts.clock.now();
    const overdueAt = now - overdueFactor * (now - attempt.x.attemptStartedAt);
    for (const other of this.#tries) {
      if (other !== attempt) other.lose(other.x.attemptStartedAt <= overdueAt ? overdue : lost);
    }
    this.#take(attempt);
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#over = true;
    this.#next.onEnd(trailers);
  }

  onError(attempt: Try, error: ExchangeError): void {
    if (this.#winner === null) {
      this.#drop(attempt);
      if (this.#tries.length > 0) {
        if (error.progress === "processed") this.#acted = true;
        return;
      }
      this.#parts.wheel.cancel(this.#timer);
      this.#take(attempt);
    }
    this.#over = true;
    this.#next.onError(this.#acted ? processed(error) : error);
  }

  abort(reason: ExchangeError): void {
    if (this.#over) return;
    if (this.#winner !== null) {
      this.#winner.x.flow.abort(reason);
      return;
    }
    this.#over = true;
    this.#parts.wheel.cancel(this.#timer);
    this.#take(this.#tries[0]!);
    // The reason may be that its time is over: that of those that began later isn't.
    for (const attempt of this.#tries) attempt.lose(attempt === this.#first ? reason : lost);
    this.#next.onError(reason);
  }

  pause(): void {
    this.#paused = true;
    if (this.#winner !== null) this.#winner.x.flow.pause();
    else for (const attempt of this.#tries) attempt.x.flow.pause();
  }

  resume(): void {
    this.#paused = false;
    if (this.#winner !== null) this.#winner.x.flow.resume();
    else for (const attempt of this.#tries) attempt.x.flow.resume();
  }

  #begin(body: Body | null): void {
    const x = this.#x.copy();
    x.body = body;
    const attempt = new Try(x, this);
    this.#first ??= attempt;
    this.#tries.push(attempt);
    this.#inner.call(x, attempt);
    if (this.#paused && attempt.live) x.flow.pause();
  }

  #setTimer(): void {
    this.#parts.wheel.set(this.#timer, this.#parts.clock.now() + this.#hedge.delayMs);
  }

  #drop(attempt: Try): void {
    const { endpoint } = attempt.x;
    if (endpoint !== null) {
      this.#x.endpoint = endpoint;
      this.#x.avoid(endpoint);
    }
    this.#tries.splice(this.#tries.indexOf(attempt), 1);
  }

  /** What others look for in the exchange is that of this try. */
  #take({ x: { endpoint, attemptStartedAt, responseVersion, responseHeaderCase } }: Try): void {
    const x = this.#x;
    x.endpoint = endpoint;
    x.attemptStartedAt = attemptStartedAt;
    x.responseVersion = responseVersion;
    x.responseHeaderCase = responseHeaderCase;
  }
}

/** One of the attempts that are made at a time, with an exchange of its own. */
class Try implements Sink {
  readonly x: MeshExchange;
  readonly #hedging: Hedging;
  /** It has not ended, and may still win. */
  live = true;

  constructor(x: MeshExchange, hedging: Hedging) {
    this.x = x;
    this.#hedging = hedging;
  }

  /** Cancels it. Nobody hears of it any more. */
  lose(reason: ExchangeError): void {
    this.live = false;
    this.x.flow.abort(reason);
  }

  onInformational(status: number, headers: HeaderList): void {
    if (this.live) this.#hedging.onInformational(this, status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.live) this.#hedging.onHead(this, status, headers);
  }

  onData(chunk: Uint8Array): void {
    if (this.live) this.#hedging.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    if (!this.live) return;
    this.live = false;
    this.#hedging.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    if (!this.live) return;
    this.live = false;
    this.#hedging.onError(this, error);
  }
}

/** The request may have been acted on, though not in the try that failed last. */
function processed(error: ExchangeError): ExchangeError {
  if (error.progress === "processed") return error;
  const { code, message, status, grpcStatus, origin, cause } = error;
  return new ExchangeError(code, message, { status, grpcStatus }, origin, "processed", cause);
}
