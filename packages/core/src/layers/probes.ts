import type { Service, Sink } from "@selvage/http2";
import { LocalRateLimit } from "@selvage/policy";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { Clock } from "../runtime/clock.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import { type InFlight, InFlightSink } from "./in-flight.js";

const grpcHealthCheck = "/grpc.health.v1.Health/Check";
/** Enough for any platform's checks, and too little for an attack. Beyond it a probe is a request like others. */
export const maxProbesInFlight = 16;
export const maxProbesPerSecond = 50;

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

class ProbesService implements Service, InFlight {
  inFlight = 0;
  readonly #inner: Service;
  readonly #paths: readonly string[];
  readonly #past: Service;
  readonly #rate: LocalRateLimit;

  constructor(inner: Service, paths: readonly string[], past: Service, clock: Clock) {
    this.#inner = inner;
    this.#paths = paths;
    this.#past = past;
    this.#rate = new LocalRateLimit({ total: { requestsPerSecond: maxProbesPerSecond } }, { now: () => clock.now() });
  }

  call(x: MeshExchange, sink: Sink): void {
    if (this.#isProbe(x) && this.inFlight < maxProbesInFlight && this.#rate.take(null).ok) {
      this.#past.call(x, new InFlightSink(sink, this));
    } else {
      this.#inner.call(x, sink);
    }
  }

  #isProbe(x: MeshExchange): boolean {
    if (x.method === "POST") return x.path === grpcHealthCheck && isGrpcRequest(x.method, x.headers);
    return this.#paths.length > 0 && (x.method === "GET" || x.method === "HEAD") && this.#paths.includes(x.path);
  }
}
