import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
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

class ShedService implements Service {
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
    this.inFlight++;
    this.#inner.call(x, new ShedSink(sink, this));
  }
}

class ShedSink implements Sink {
  readonly #next: Sink;
  readonly #service: ShedService;

  constructor(next: Sink, service: ShedService) {
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
