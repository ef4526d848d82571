import { ExchangeError, type Flow, type Service, type Sink } from "@selvage/http2";
import type { FaultConfig } from "../config/config.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { Clock } from "../runtime/clock.js";
import type { Random } from "../runtime/random.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { refuse } from "./refuse.js";

export interface FaultParts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly metrics: MeshMetrics;
}

/**
 * Delays and aborts a share of the requests of routes that say so, for tests of what an application makes of it. First the delay, then the
 * abort, each by its own chance.
 */
export class FaultLayer implements Layer {
  readonly name = "fault";
  readonly #parts: FaultParts;

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  wrap(inner: Service): Service {
    return new FaultService(inner, this.#parts);
  }
}

class FaultService implements Service {
  readonly parts: FaultParts;
  readonly #inner: Service;

  constructor(inner: Service, parts: FaultParts) {
    this.#inner = inner;
    this.parts = parts;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { fault } = x.route!;
    if (fault === undefined || fault.delay === null || !this.#hits(fault.delay.ratio)) {
      this.go(x, sink);
      return;
    }
    this.#count(x, "delay");
    new FaultDelay(x, sink, this).start(fault.delay.durationMs);
  }

  /** What comes after the delay, or instead of it. */
  go(x: MeshExchange, sink: Sink): void {
    const abort = x.route!.fault?.abort ?? null;
    if (abort === null || !this.#hits(abort.ratio)) {
      this.#inner.call(x, sink);
      return;
    }
    this.#count(x, "abort");
    refuse(x, sink, injected(x, abort));
  }

  #hits(ratio: number): boolean {
    return ratio >= 1 || this.parts.random() < ratio;
  }

  #count(x: MeshExchange, kind: "delay" | "abort"): void {
    this.parts.metrics.faults.with(x.target!.authority, kind).increment();
  }
}

function injected(x: MeshExchange, abort: NonNullable<FaultConfig["abort"]>): ExchangeError {
  const status = isGrpcRequest(x.method, x.headers) ? `gRPC status ${abort.grpcStatus}` : `status ${abort.status}`;
  const text = `fault injected: ${status}, by route ${x.route!.name} of ${x.target!.authority}`;
  return new ExchangeError("SELVAGE_ERR_FAULT", text, abort, "local", "unsent");
}

/** An exchange that is made to wait. */
class FaultDelay implements Flow, TimerOwner {
  readonly #x: MeshExchange;
  readonly #sink: Sink;
  readonly #service: FaultService;
  readonly #timer = new WheelTimer(this);
  #paused = false;
  #over = false;

  constructor(x: MeshExchange, sink: Sink, service: FaultService) {
    this.#x = x;
    this.#sink = sink;
    this.#service = service;
  }

  start(durationMs: number): void {
    const { clock, wheel } = this.#service.parts;
    this.#x.flow = this;
    wheel.set(this.#timer, clock.now() + durationMs);
  }

  onTimer(): void {
    this.#over = true;
    this.#service.go(this.#x, this.#sink);
    if (this.#paused && this.#x.flow !== this) this.#x.flow.pause();
  }

  abort(reason: ExchangeError): void {
    if (this.#over) return;
    this.#over = true;
    this.#service.parts.wheel.cancel(this.#timer);
    refuse(this.#x, this.#sink, reason);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }
}
