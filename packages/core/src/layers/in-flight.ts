import type { ExchangeError, HeaderList, Sink } from "@selvage/http2";

/** Who counts exchanges in flight: bodies and streams included. */
export interface InFlight {
  inFlight: number;
}

/** Counts one exchange from here to its end. */
export class InFlightSink implements Sink {
  readonly #next: Sink;
  readonly #owner: InFlight;

  constructor(next: Sink, owner: InFlight) {
    this.#next = next;
    this.#owner = owner;
    owner.inFlight++;
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
    this.#owner.inFlight--;
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#owner.inFlight--;
    this.#next.onError(error);
  }
}
