import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { Clock } from "../runtime/clock.js";
import { isGrpcRequest } from "../telemetry/classification.js";

const grpcHealthCheck = "/grpc.health.v1.Health/Check";
/** Enough for any platform's checks, and too little for an attack. Beyond it a probe is a request like others. */
export const maxProbesInFlight = 16;
export const maxProbesPerSecond = 50;
const intervalMs = 1000 / maxProbesPerSecond;
const burstMs = 1000 - intervalMs;

/**
 * Health checks of the platform: GET and HEAD of exact paths, and gRPC's own `Health/Check`. They pass by rate limits and load
 * shedding, since a workload that is killed for being busy makes the others busier. Not by policy.
 */
export class ProbesLayer implements Layer {
  readonly name = "probes";
  readonly #paths: readonly string[];
  readonly #past: Service;
  readonly #clock: Clock;

  /** `past` gets the probes, what the layer is put around everything else. */
  constructor(paths: readonly string[], past: Service, clock: Clock) {
    this.#paths = paths;
    this.#past = past;
    this.#clock = clock;
  }

  wrap(inner: Service): Service {
    return new ProbesService(inner, this.#paths, this.#past, this.#clock);
  }
}

class ProbesService implements Service {
  inFlight = 0;
  readonly #inner: Service;
  readonly #paths: readonly string[];
  readonly #past: Service;
  readonly #clock: Clock;
  /** When the last probe would have come had they come evenly (GCRA). */
  #evenAt = Number.NEGATIVE_INFINITY;

  constructor(inner: Service, paths: readonly string[], past: Service, clock: Clock) {
    this.#inner = inner;
    this.#paths = paths;
    this.#past = past;
    this.#clock = clock;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (this.#isProbe(x) && this.inFlight < maxProbesInFlight && this.#take()) {
      this.inFlight++;
      this.#past.call(x, new ProbeSink(sink, this));
    } else {
      this.#inner.call(x, sink);
    }
  }

  #isProbe(x: MeshExchange): boolean {
    if (x.method === "POST") return x.path === grpcHealthCheck && isGrpcRequest(x.method, x.headers);
    return this.#paths.length > 0 && (x.method === "GET" || x.method === "HEAD") && this.#paths.includes(x.path);
  }

  #take(): boolean {
    const now = this.#clock.now();
    const evenAt = Math.max(this.#evenAt, now);
    if (evenAt - now > burstMs) return false;
    this.#evenAt = evenAt + intervalMs;
    return true;
  }
}

class ProbeSink implements Sink {
  readonly #next: Sink;
  readonly #service: ProbesService;

  constructor(next: Sink, service: ProbesService) {
    this.#next = next;
    this.#service = service;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#service.inFlight--;
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#service.inFlight--;
    this.#next.onError(error);
  }
}
