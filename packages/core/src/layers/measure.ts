import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import { errorReason } from "../errors.js";
import type { Direction, MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { Clock } from "../runtime/clock.js";
import type { ProcessHold } from "../runtime/process-hold.js";
import { grpcStatusOf, isFailure, isGrpcRequest, noGrpcStatus } from "../telemetry/classification.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { Meter } from "../telemetry/meter.js";
import { PeerMeters } from "../telemetry/peer-meters.js";
import type { GaugeSeries } from "../telemetry/series.js";

export interface MeasureParts {
  readonly direction: Direction;
  readonly clock: Clock;
  readonly metrics: MeshMetrics;
  /** What this workload is called, in inbound series. */
  readonly serverAddress: string;
  /** Held while there is anything in flight. */
  readonly hold?: ProcessHold;
}

/**
 * The golden metrics: how many exchanges, how they ended, how long they took, how many are in flight. Outbound by
 * authority (those that the mesh does not know together as `_unknown`), inbound by peer.
 */
export class MeasureLayer implements Layer {
  readonly name = "measure";
  readonly #parts: MeasureParts;

  constructor(parts: MeasureParts) {
    this.#parts = parts;
  }

  wrap(inner: Service): Service {
    return new MeasureService(inner, this.#parts);
  }
}

class MeasureService implements Service {
  readonly clock: Clock;
  readonly #active: GaugeSeries;
  readonly #hold: ProcessHold | null;
  #inFlight = 0;
  readonly #inner: Service;
  readonly #direction: Direction;
  readonly #metrics: MeshMetrics;
  readonly #unknown: Meter;
  readonly #peers: PeerMeters;

  constructor(inner: Service, parts: MeasureParts) {
    const { metrics, direction } = parts;
    this.clock = parts.clock;
    this.#hold = parts.hold ?? null;
    this.#active = (direction === "outbound" ? metrics.clientActive : metrics.serverActive).with();
    this.#inner = inner;
    this.#direction = direction;
    this.#metrics = metrics;
    this.#unknown = new Meter(metrics.clientDuration, "_unknown", "");
    this.#peers = new PeerMeters(metrics, parts.serverAddress);
  }

  call(x: MeshExchange, sink: Sink): void {
    x.startedAt = this.clock.now();
    this.#active.add(1);
    if (this.#inFlight++ === 0 && this.#hold !== null) this.#hold.hold();
    this.#inner.call(x, new MeasureSink(x, sink, this));
  }

  /** An exchange is over. */
  ended(): void {
    this.#active.add(-1);
    if (--this.#inFlight === 0 && this.#hold !== null) this.#hold.release();
  }

  meterOf(x: MeshExchange): Meter {
    if (this.#direction === "inbound") return this.#peers.of(x.peer);
    return x.target === null ? this.#unknown : x.target.meter;
  }

  countError(code: string): void {
    this.#metrics.errors.with(this.#direction, errorReason(code)).increment();
  }
}

class MeasureSink implements Sink {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #service: MeasureService;
  readonly #grpc: boolean;
  #status = 0;
  #grpcStatus = noGrpcStatus;

  constructor(x: MeshExchange, next: Sink, service: MeasureService) {
    this.#x = x;
    this.#next = next;
    this.#service = service;
    this.#grpc = isGrpcRequest(x.method, x.headers);
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#status = status;
    if (this.#grpc) this.#grpcStatus = grpcStatusOf(headers);
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    const x = this.#x;
    if (this.#grpc && this.#grpcStatus === noGrpcStatus) this.#grpcStatus = grpcStatusOf(trailers);
    this.#service.ended();
    const meter = this.#service.meterOf(x);
    meter.answered(x.method, x.version, this.#status, this.#grpc, this.#grpcStatus, this.#seconds());
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    const x = this.#x;
    this.#service.ended();
    x.error = error;
    const meter = this.#service.meterOf(x);
    const seconds = this.#seconds();
    if (error.code === "SELVAGE_ERR_ABORTED" && error.origin === "caller") {
      meter.failed(x.method, x.version, this.#status || error.status, noGrpcStatus, error.code, "not_counted", seconds);
    } else if (this.#status !== 0) {
      // A head that went out already is what the caller saw.
      meter.failed(x.method, x.version, this.#status, noGrpcStatus, error.code, "failure", seconds);
    } else {
      const { grpcStatus } = error;
      const status = this.#grpc ? 200 : error.status;
      const classification = isFailure(status, this.#grpc, grpcStatus) ? "failure" : "success";
      const shown = this.#grpc ? grpcStatus : noGrpcStatus;
      meter.failed(x.method, x.version, status, shown, error.code, classification, seconds);
    }
    this.#service.countError(error.code);
    this.#next.onError(error);
  }

  #seconds(): number {
    return (this.#service.clock.now() - this.#x.startedAt) / 1000;
  }
}
