import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { AdaptiveLimit } from "../resilience/adaptive-limit.js";
import type { Clock } from "../runtime/clock.js";
import { grpcStatusOf } from "../telemetry/classification.js";
import { refuse } from "./refuse.js";

/**
 * Refuses at once what would be more work than the application can do at a time, by an adaptive limit. An exchange counts
 * from its start to the head of its response: a stream or a tunnel that stays open for hours is neither work nor slow.
 */
export class LimitLayer implements Layer {
  readonly name = "limit";
  readonly #limit: AdaptiveLimit;
  readonly #clock: Clock;

  constructor(limit: AdaptiveLimit, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  wrap(inner: Service): Service {
    return new LimitService(inner, this.#limit, this.#clock);
  }
}

class LimitService implements Service {
  readonly #inner: Service;
  readonly #limit: AdaptiveLimit;
  readonly #clock: Clock;

  constructor(inner: Service, limit: AdaptiveLimit, clock: Clock) {
    this.#inner = inner;
    this.#limit = limit;
    this.#clock = clock;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (!this.#limit.acquire()) {
      x.retryAfterSeconds = 1;
      refuse(
        x,
        sink,
        meshError("SELVAGE_ERR_SHED", `more than ${this.#limit.limit} exchanges wait for their response`),
      );
      return;
    }
    this.#inner.call(x, new LimitSink(x, sink, this.#limit, this.#clock));
  }
}

class LimitSink implements Sink {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #limit: AdaptiveLimit;
  readonly #clock: Clock;
  #holding = true;

  constructor(x: MeshExchange, next: Sink, limit: AdaptiveLimit, clock: Clock) {
    this.#x = x;
    this.#next = next;
    this.#limit = limit;
    this.#clock = clock;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#holding = false;
    // Failing is quick, and no measure of work: what fails must not look like what it takes without load.
    if (status >= 500 || status === 429 || grpcStatusOf(headers) > 0) this.#limit.release();
    else this.#limit.measured(this.#x.startedAt, this.#clock.now());
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    if (this.#holding) {
      this.#holding = false;
      if (error.origin === "caller") this.#limit.abandoned(this.#x.startedAt, this.#clock.now());
      else this.#limit.release();
    }
    this.#next.onError(error);
  }
}
