import type { Service, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { type InFlight, InFlightSink } from "./in-flight.js";
import { refuse } from "./refuse.js";

/** Refuses at once what would be more exchanges in flight than may be, until they end: bodies and streams included. */
export class ShedLayer implements Layer {
  readonly name = "shed";
  readonly #maxInFlight: number;

  constructor(maxInFlight: number) {
    this.#maxInFlight = maxInFlight;
  }

  wrap(inner: Service): Service {
    return new ShedService(inner, this.#maxInFlight);
  }
}

class ShedService implements Service, InFlight {
  inFlight = 0;
  readonly #inner: Service;
  readonly #maxInFlight: number;

  constructor(inner: Service, maxInFlight: number) {
    this.#inner = inner;
    this.#maxInFlight = maxInFlight;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (this.inFlight >= this.#maxInFlight) {
      x.retryAfterSeconds = 1;
      refuse(x, sink, meshError("SELVAGE_ERR_SHED", `more than ${this.#maxInFlight} exchanges are in flight`));
      return;
    }
    this.#inner.call(x, new InFlightSink(sink, this));
  }
}
