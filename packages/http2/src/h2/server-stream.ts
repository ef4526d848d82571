import type { Body, BodySink, Exchange, HeaderList, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { errorCode, errorCodeName } from "./frame.js";
import { headFault } from "./sender.js";
import type { ServerSession } from "./server-session.js";
import { Stream } from "./stream.js";

/** A request of the peer and our response: the exchange's body, and the sink it is answered to. */
export class ServerStream extends Stream implements Sink, Body {
  readonly length: number;

  readonly #server: ServerSession;
  readonly #x: Exchange;
  /** The request came with `l5d-orig-proto`. */
  readonly #carried: boolean;
  #bodySink: BodySink | null = null;
  #bodyPaused = false;
  #headSent = false;
  /** The terminal call has been made. */
  #ended = false;
  #released = false;
  #aborted = false;

  constructor(session: ServerSession, id: number, x: Exchange, length: number, carried: boolean) {
    super(session, id);
    this.#server = session;
    this.#x = x;
    this.#carried = carried;
    this.length = length;
    this.contentLength = length;
    this.pauseReceiving();
  }

  // The request's body

  onBlock(end: boolean): void {
    if (end) this.receiveEnd(this.session.block.headers);
    else this.session.streamError(this, errorCode.protocol, "trailers without END_STREAM");
  }

  pipe(sink: BodySink): void {
    this.#bodySink = sink;
    if (!this.#bodyPaused) this.resumeReceiving();
  }

  pause(): void {
    this.#bodyPaused = true;
    this.pauseReceiving();
  }

  resume(): void {
    this.#bodyPaused = false;
    if (this.#bodySink !== null) this.resumeReceiving();
  }

  cancel(): void {
    this.discard();
  }

  protected onBody(chunk: Uint8Array): void {
    this.#bodySink!.onData(chunk);
  }

  protected onBodyEnd(trailers: HeaderList | null): void {
    this.#bodySink!.onEnd(trailers);
  }

  protected override takesEnd(): boolean {
    return this.#bodySink !== null;
  }

  // The response

  onInformational(status: number, headers: HeaderList): void {
    if (this.closed || this.#headSent || status < 100 || status > 199 || status === 101) return;
    // One that can't be sent is left out: it is only a hint.
    this.session.sender.response(this, status, headers, "", false);
    this.flagSerial = -1;
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.closed || this.#headSent || this.#ended) return;
    // RFC 8441, section 5: 200 says here what 101 says in HTTP/1.1.
    if (status === 101 && this.#x.tunnel) status = 200;
    const version = this.#x.responseVersion;
    const origProto = !this.#carried || version === "2.0" ? "" : version === "1.0" ? "HTTP/1.0" : "HTTP/1.1";
    if (this.session.sender.response(this, status, headers, origProto, false) === headFault.none) {
      this.#headSent = true;
      return;
    }
    this.session.reset(this, errorCode.internal);
    this.#abort(transportError("SELVAGE_ERR_MALFORMED", "the response's head can't be sent", "local"));
  }

  onData(chunk: Uint8Array): void {
    if (this.#headSent) this.queue(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#headSent) this.queueEnd(trailers);
    else this.session.reset(this, errorCode.internal);
    this.#release();
  }

  onError(error: ExchangeError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.discard();
    if (!this.closed) {
      const code =
        !this.#headSent && error.progress !== "processed"
          ? errorCode.refusedStream
          : error.code === "SELVAGE_ERR_ABORTED"
            ? errorCode.cancel
            : errorCode.internal;
      this.session.reset(this, code);
    }
    this.#release();
  }

  protected pauseProducer(): void {
    this.#x.flow.pause();
  }

  protected resumeProducer(): void {
    this.#x.flow.resume();
  }

  protected onLocalEnd(): void {
    // RFC 9113, section 8.1: the answer is complete, the rest of the request is of no use.
    if (this.#x.tunnel) return;
    this.discard();
    this.session.reset(this, errorCode.none);
  }

  protected onBadTrailers(): void {
    this.session.reset(this, errorCode.internal);
  }

  // The end

  onReset(code: number): void {
    this.close();
    this.#abort(transportError("SELVAGE_ERR_ABORTED", `the peer reset the stream (${errorCodeName(code)})`, "caller"));
  }

  onLost(error: ExchangeError): void {
    this.#abort(transportError("SELVAGE_ERR_ABORTED", error.message, "caller", "processed", error));
  }

  #abort(reason: ExchangeError): void {
    this.discard();
    this.#aborted = true;
    if (!this.#ended) this.#x.flow.abort(reason);
  }

  protected onClosed(): void {
    this.#release();
  }

  /** The slot is free when the stream is gone and the call has ended: a reset alone frees nothing. */
  #release(): void {
    if (this.#released || !this.closed || !this.#ended) return;
    this.#released = true;
    this.#server.release(this.#aborted);
  }
}
