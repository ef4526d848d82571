import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import type { Endpoint } from "../balancer/endpoint.js";
import { isOwnError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { parseRetryAfter } from "../resilience/retry-after.js";
import type { Clock } from "../runtime/clock.js";
import type { AttemptMetrics } from "../target/target.js";
import { grpcStatusOf, headerValue, isFailure, isGrpcRequest, noGrpcStatus } from "../telemetry/classification.js";

/** An endpoint that fails looks at least this slow: failing is quick, and must not attract load (Linkerd's load biaser). */
const penaltyMs = 5_000;
const maxRetryAfterMs = 300_000;

/** Watches the attempts on one endpoint: how long they take (for the balancer) and whether they fail (for failure accrual). */
export class TrackLayer implements Layer {
  readonly name = "track";
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;

  constructor(endpoint: Endpoint, clock: Clock) {
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  wrap(inner: Service): Service {
    return new TrackService(inner, this.#endpoint, this.#clock);
  }
}

class TrackService implements Service {
  readonly #inner: Service;
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;

  constructor(inner: Service, endpoint: Endpoint, clock: Clock) {
    this.#inner = inner;
    this.#endpoint = endpoint;
    this.#clock = clock;
  }

  call(x: MeshExchange, sink: Sink): void {
    this.#inner.call(x, new TrackSink(x, sink, this.#endpoint, this.#clock));
  }
}

class TrackSink implements Sink {
  readonly #next: Sink;
  readonly #endpoint: Endpoint;
  readonly #clock: Clock;
  readonly #metrics: AttemptMetrics;
  readonly #startedAt: number;
  readonly #grpc: boolean;
  readonly #probe: boolean;
  /** The latency was recorded. */
  #answered = false;
  /** The outcome was recorded. */
  #counted = false;

  constructor(x: MeshExchange, next: Sink, endpoint: Endpoint, clock: Clock) {
    this.#next = next;
    this.#endpoint = endpoint;
    this.#clock = clock;
    this.#metrics = x.target!.attemptMetrics;
    this.#startedAt = x.attemptStartedAt;
    this.#grpc = isGrpcRequest(x.method, x.headers);
    endpoint.started();
    endpoint.load.start();
    this.#probe = endpoint.accrual.takeProbe();
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.#grpc) {
      const grpcStatus = grpcStatusOf(headers);
      if (grpcStatus !== noGrpcStatus || status >= 500) this.#grpcOutcome(grpcStatus, status, headers);
    } else if (status === 429) {
      this.#limited(headers);
    } else if (status >= 500) {
      this.#failed(headers);
    }
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    if (!this.#answered) {
      this.#answer();
      // A probe that streams for hours need not end before the endpoint is believed.
      if (this.#probe && !this.#grpc && !this.#counted) this.#succeeded();
    }
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    if (!this.#counted) {
      if (this.#grpc) this.#grpcOutcome(grpcStatusOf(trailers), 200, trailers);
      else this.#succeeded();
    }
    if (!this.#answered) this.#answer();
    this.#endpoint.ended();
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    const timedOut = error.code === "SELVAGE_ERR_PER_TRY_TIMEOUT" || error.code === "SELVAGE_ERR_DEADLINE";
    const ours =
      error.origin === "caller" ||
      (error.origin === "local" && (isOwnError(error) || error.code === "SELVAGE_ERR_ABORTED")) ||
      error.code === "SELVAGE_ERR_OVERFLOW";
    if (!this.#counted) {
      if (ours && !timedOut) this.#notCounted();
      else if (timedOut) this.#countFailure();
      else this.#failed(null);
    }
    if (!this.#answered) {
      this.#answered = true;
      const now = this.#clock.now();
      this.#endpoint.load.giveUp(now - this.#startedAt, now);
    }
    this.#endpoint.ended();
    this.#next.onError(error);
  }

  #answer(): void {
    this.#answered = true;
    const now = this.#clock.now();
    this.#endpoint.load.finish(now - this.#startedAt, now);
  }

  #grpcOutcome(grpcStatus: number, status: number, headers: HeaderList | null): void {
    if (grpcStatus === 8) this.#limited(headers);
    // A failure as in Linkerd, and no reason to send others less (its load biaser leaves it out, too).
    else if (grpcStatus === 7 && status < 500) this.#countFailure();
    else if (status >= 500 || isFailure(status, true, grpcStatus)) this.#failed(headers);
    else this.#succeeded();
  }

  #succeeded(): void {
    this.#counted = true;
    this.#metrics.success.increment();
    this.#endpoint.accrual.recordSuccess();
  }

  #notCounted(): void {
    this.#counted = true;
    this.#metrics.notCounted.increment();
    if (this.#probe) this.#endpoint.accrual.giveProbeBack();
  }

  #countFailure(): void {
    this.#counted = true;
    this.#metrics.failure.increment();
    this.#endpoint.failures++;
    this.#endpoint.accrual.recordFailure();
  }

  #failed(headers: HeaderList | null): void {
    this.#penalize(headers);
    this.#countFailure();
  }

  /** Too many requests are a success as far as the caller's statistics go, and a reason to send fewer. */
  #limited(headers: HeaderList | null): void {
    this.#counted = true;
    this.#penalize(headers);
    this.#metrics.success.increment();
    this.#endpoint.accrual.recordRateLimited();
  }

  /** How long the peer asks to be left alone, 0 or below for not at all. */
  #askedMs(headers: HeaderList): number {
    const after = headerValue(headers, "retry-after");
    if (after !== null) return parseRetryAfter(after, this.#clock.epoch());
    const pushback = this.#grpc ? headerValue(headers, "grpc-retry-pushback-ms") : null;
    return pushback !== null && /^\d{1,10}$/.test(pushback) ? Number(pushback) : 0;
  }

  #penalize(headers: HeaderList | null): void {
    if (this.#answered) return;
    this.#answered = true;
    const asked = headers === null ? 0 : Math.min(this.#askedMs(headers), maxRetryAfterMs);
    const now = this.#clock.now();
    this.#endpoint.load.giveUp(Math.max(now - this.#startedAt, penaltyMs, asked), now);
  }
}
