import type { ExchangeError, Flow, HeaderList, Service, Sink } from "@selvage/http2";
import { transportError } from "@selvage/http2";
import { isOwnError, meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { backoffMs } from "../resilience/backoff.js";
import { headReason, repeatsActed } from "../resilience/repeatable.js";
import { ReplayBody } from "../resilience/replay-body.js";
import { parseRetryAfter } from "../resilience/retry-after.js";
import type { RetryPolicy } from "../resilience/retry-policy.js";
import type { Clock } from "../runtime/clock.js";
import type { Random } from "../runtime/random.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import type { RetryReason } from "../target/target.js";
import { headerValue, isGrpcRequest } from "../telemetry/classification.js";
import { HedgeService } from "./hedge.js";

export interface RetryParts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
}

/**
 * Repeats attempts that failed and may be repeated, on another endpoint if there is one, up to the route's limit and the
 * authority's budget.
 *
 * What the peer has not acted on (`unsent`, `refused`) may be repeated whatever the method; what it may have acted on only
 * for the route's methods (the safe ones) and for requests with an `Idempotency-Key`; gRPC requests only for the statuses that
 * the route names. What the caller gave up, and what the mesh itself refused, is never repeated. A gRPC status is looked
 * for in the head only: once a head was passed on the response belongs to the caller (gRFC A6).
 */
export class RetryLayer implements Layer {
  readonly name = "retry";
  readonly #parts: RetryParts;

  constructor(parts: RetryParts) {
    this.#parts = parts;
  }

  wrap(inner: Service): Service {
    return new RetryService(inner, this.#parts);
  }
}

class RetryService implements Service {
  readonly #inner: Service;
  /** For routes that hedge. */
  readonly #hedged: Service;
  readonly #parts: RetryParts;

  constructor(inner: Service, parts: RetryParts) {
    this.#inner = inner;
    this.#hedged = new HedgeService(inner, parts);
    this.#parts = parts;
  }

  call(x: MeshExchange, sink: Sink): void {
    const policy = x.route!.retry;
    if (policy.hedge !== null && !x.tunnel && repeatsActed(policy, x)) {
      new RetrySink(x, sink, policy, this.#hedged, this.#parts).start();
    } else if (policy.limit === 0 && policy.perTryTimeoutMs === 0) this.#inner.call(x, sink);
    else new RetrySink(x, sink, policy, this.#inner, this.#parts).start();
  }
}

/** An attempt has the exchange. */
const trying = 0;
/** The next attempt waits for its backoff: this sink is the exchange's flow. */
const waiting = 1;
/** A head was passed on, or the exchange is over. */
const settled = 2;

// The attempt's own response says what was wrong with it; nobody gets to see this error.
const discarded = transportError("SELVAGE_ERR_ABORTED", "this answer is replaced by another attempt's", "local");

class RetrySink implements Sink, Flow, TimerOwner {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #policy: RetryPolicy;
  readonly #inner: Service;
  readonly #parts: RetryParts;
  readonly #replay: ReplayBody | null;
  /** What each attempt starts from, whatever the one before made of it. */
  readonly #headers: HeaderList;
  /** For the attempt's time, then for the wait; made when one is needed. */
  #timer: WheelTimer | null = null;
  #state = trying;
  #discarding = false;
  #paused = false;

  constructor(x: MeshExchange, next: Sink, policy: RetryPolicy, inner: Service, parts: RetryParts) {
    this.#x = x;
    this.#next = next;
    this.#policy = policy;
    this.#inner = inner;
    this.#parts = parts;
    this.#headers = x.headers;
    // A tunnel's bytes are never replayed, but until its head came there are none.
    this.#replay = x.body === null ? null : new ReplayBody(x.body, x.tunnel ? 0 : policy.maxReplayBytes);
  }

  start(): void {
    const x = this.#x;
    this.#state = trying;
    x.headers = this.#headers;
    if (this.#replay !== null) x.body = this.#replay.attempt();
    if (this.#policy.perTryTimeoutMs > 0) {
      this.#setTimer(this.#policy.perTryTimeoutMs);
    }
    this.#inner.call(x, this);
    if (this.#paused && this.#state === trying) x.flow.pause();
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#cancelTimer();
    const reason = headReason(this.#policy, this.#x, status, headers);
    if (reason === null) {
      this.#deposit();
    } else {
      const waitMs = this.#statusWait(headers);
      if (waitMs >= 0 && this.#mayRepeat(reason, waitMs)) {
        this.#discarding = true;
        this.#x.flow.abort(discarded);
        this.#discarding = false;
        this.#repeat(reason, waitMs);
        return;
      }
    }
    this.#state = settled;
    this.#replay?.commit();
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    if (this.#discarding) return;
    this.#cancelTimer();
    if (this.#state !== settled) {
      const reason = this.#errorReason(error);
      if (reason !== null) {
        const waitMs = this.#errorWait(reason);
        if (this.#mayRepeat(reason, waitMs)) {
          this.#repeat(reason, waitMs);
          return;
        }
      }
    }
    this.#fail(error);
  }

  onTimer(): void {
    if (this.#state === waiting) {
      this.start();
    } else {
      const text = `no response within ${this.#policy.perTryTimeoutMs} ms (attempt ${this.#x.attempt})`;
      this.#x.flow.abort(meshError("SELVAGE_ERR_PER_TRY_TIMEOUT", text, "local", "processed"));
    }
  }

  /** As the flow of an exchange that waits. */
  abort(reason: ExchangeError): void {
    if (this.#state !== waiting) return;
    this.#cancelTimer();
    this.#fail(reason);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  #setTimer(delayMs: number): void {
    this.#timer ??= new WheelTimer(this);
    this.#parts.wheel.set(this.#timer, this.#parts.clock.now() + delayMs);
  }

  #cancelTimer(): void {
    if (this.#timer !== null) this.#parts.wheel.cancel(this.#timer);
  }

  #fail(error: ExchangeError): void {
    this.#state = settled;
    this.#replay?.release();
    this.#next.onError(error);
  }

  #repeat(reason: RetryReason, waitMs: number): void {
    const x = this.#x;
    x.target!.retryMetrics.retried(reason);
    if (x.endpoint !== null) x.avoid(x.endpoint);
    x.attempt++;
    if (waitMs <= 0) {
      this.start();
      return;
    }
    this.#state = waiting;
    x.flow = this;
    this.#setTimer(waitMs);
  }

  /** What certainly had no effect costs no budget: a deployment must not use up what an overload needs. */
  #mayRepeat(reason: RetryReason, waitMs: number): boolean {
    const x = this.#x;
    const target = x.target!;
    if (x.attempt > this.#policy.limit) {
      if (this.#policy.limit > 0) target.retryMetrics.limitExceeded.increment();
      return false;
    }
    if (this.#replay !== null && !this.#replay.replayable) return false;
    const now = this.#parts.clock.now();
    if (now + waitMs >= x.deadlineAt) return false;
    if (reason !== "unsent" && !target.budget.withdraw(now)) {
      target.retryMetrics.budgetExhausted.increment();
      return false;
    }
    return true;
  }

  #deposit(): void {
    this.#x.target!.budget.deposit(this.#x.startedAt);
  }

  #errorReason(error: ExchangeError): RetryReason | null {
    if (error.origin === "caller") return null;
    const timedOut = error.code === "SELVAGE_ERR_PER_TRY_TIMEOUT";
    if (!timedOut) {
      // The engine's queue is full: more of the same makes it worse.
      if ((isOwnError(error) && error.origin === "local") || error.code === "SELVAGE_ERR_OVERFLOW") return null;
      if (error.progress !== "processed") return error.progress;
    }
    const x = this.#x;
    const allowed = isGrpcRequest(x.method, x.headers)
      ? this.#policy.retriesGrpcStatus[error.grpcStatus] === 1
      : repeatsActed(this.#policy, x);
    if (!allowed) return null;
    return timedOut ? "per_try_timeout" : "transport";
  }

  #backoff(): number {
    return backoffMs(this.#policy.backoff, this.#x.attempt - 1, this.#parts.random);
  }

  #errorWait(reason: RetryReason): number {
    // Another endpoint may be fine: the first such retry goes at once.
    return reason === "unsent" && this.#x.attempt === 1 ? 0 : this.#backoff();
  }

  /** The wait before a retry, -1 when the peer asks for more than is worth it. */
  #statusWait(headers: HeaderList): number {
    const wait = this.#backoff();
    const pushback = headerValue(headers, "grpc-retry-pushback-ms");
    const after = headerValue(headers, "retry-after");
    let asked = 0;
    // gRFC A6: a negative or malformed pushback means: do not retry.
    if (pushback !== null) asked = /^\d{1,9}$/.test(pushback) ? Number(pushback) : Number.POSITIVE_INFINITY;
    else if (after !== null) asked = parseRetryAfter(after, this.#parts.clock.epoch());
    return asked > this.#policy.maxRetryAfterMs ? -1 : Math.max(wait, asked);
  }
}
