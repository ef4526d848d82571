import type { HeaderList, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";

/**
 * Of the first exchange on a new TLS connection: when the connection ends before anything came back, it says what that often
 * means. In TLS 1.3 a client learns so late that its certificate was refused.
 */
export class FirstExchangeSink implements Sink {
  readonly #inner: Sink;
  #answered = false;

  constructor(inner: Sink) {
    this.#inner = inner;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#answered = true;
    this.#inner.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#answered = true;
    this.#inner.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#inner.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#inner.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#inner.onError(this.#answered || error.code !== "SELVAGE_ERR_CLOSED" ? error : hinted(error));
  }
}

function hinted(error: ExchangeError): ExchangeError {
  const message = `${error.message} (on a new TLS connection, before its first byte: the peer may have refused our certificate)`;
  return transportError("SELVAGE_ERR_CLOSED", message, error.origin, error.progress, error.cause);
}
