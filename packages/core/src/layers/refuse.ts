import type { Exchange, ExchangeError, Sink } from "@selvage/http2";

/** Ends an exchange that is not passed on: nobody reads its body. */
export function refuse(x: Exchange, sink: Sink, error: ExchangeError): void {
  x.body?.cancel();
  sink.onError(error);
}
