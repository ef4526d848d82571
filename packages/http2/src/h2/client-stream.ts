import type { Body, BodySink, Exchange, Flow, HeaderList, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import type { ClientSession } from "./client-session.js";
import { errorCode, errorCodeName } from "./frame.js";
import { origProtoVersion } from "./orig-proto.js";
import { Stream } from "./stream.js";

const maxInformational = 64;

/** A request of ours and its response. It holds the exchange: its flow, and where its body goes. */
export class ClientStream extends Stream implements Flow, BodySink {
  /** The batch of output that its head left in. */
  readonly batch: number;
  headSeen = false;

  readonly #client: ClientSession;
  readonly #x: Exchange;
  readonly #sink: Sink;
  readonly #carried: boolean;
  /** What is still to come from the request's body; `null` when it has ended or nobody wants it. */
  #body: Body | null;
  #informational = 0;
  #tunnel = false;
  /** The terminal call has been made. */
  #done = false;

  constructor(session: ClientSession, id: number, x: Exchange, sink: Sink, carried: boolean) {
    super(session, id);
    this.#client = session;
    this.#x = x;
    this.#sink = sink;
    this.#carried = carried;
    this.#body = x.body;
    this.batch = session.sender.output.batch;
  }

  /** Sends the request's body, unless it has to wait for a tunnel to open. */
  start(): void {
    if (this.#body === null && !this.#x.tunnel) this.localDone = true;
    else if (!this.#x.tunnel) this.#body!.pipe(this);
  }

  // The request's body

  onData(chunk: Uint8Array): void {
    this.queue(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#body = null;
    this.queueEnd(trailers);
  }

  protected pauseProducer(): void {
    this.#body?.pause();
  }

  protected resumeProducer(): void {
    this.#body?.resume();
  }

  protected onLocalEnd(): void {}

  protected onBadTrailers(): void {
    this.session.reset(this, errorCode.internal);
    this.#fail(transportError("SELVAGE_ERR_MALFORMED", "the request's trailers can't be sent", "local"));
  }

  #cancelBody(): void {
    const body = this.#body;
    this.#body = null;
    body?.cancel();
  }

  // The response

  onBlock(end: boolean): void {
    const block = this.session.block;
    if (this.headSeen) {
      if (end) this.receiveEnd(block.headers);
      else this.session.streamError(this, errorCode.protocol, "trailers without END_STREAM");
      return;
    }
    block.judgeResponse();
    const status = block.status;
    if (block.fault === null && status < 200 && (end || ++this.#informational > maxInformational)) {
      block.fault = "an informational response that ends the stream, or too many of them";
    }
    if (block.fault !== null) {
      this.session.streamError(this, errorCode.protocol, block.fault);
      return;
    }
    if (status < 200) {
      this.#sink.onInformational(status, block.headers);
      return;
    }
    const x = this.#x;
    this.headSeen = true;
    this.#tunnel = x.tunnel && status < 300;
    // These have no content whatever their content-length says (RFC 9110, section 6.4.1).
    if (x.method === "HEAD" || status === 204 || status === 304) this.contentLength = 0;
    else if (!this.#tunnel) {
      this.contentLength = block.contentLength;
      if (end && this.contentLength > 0) {
        this.session.streamError(this, errorCode.protocol, "the body is shorter than content-length");
        return;
      }
    }
    x.responseVersion = this.#carried ? (origProtoVersion(block.origProto ?? "") ?? x.version) : "2.0";
    this.#sink.onHead(status, block.headers);
    if (x.tunnel && !this.#done) {
      if (this.#tunnel) this.#body?.pipe(this);
      else this.#cancelBody();
      if (this.#body === null && !this.closed) this.queueEnd(null);
    }
    if (end && !this.closed) this.receiveEnd(null);
  }

  protected onBody(chunk: Uint8Array): void {
    if (!this.headSeen) this.session.streamError(this, errorCode.protocol, "DATA before the head");
    else this.#sink.onData(chunk);
  }

  protected onBodyEnd(trailers: HeaderList | null): void {
    if (!this.headSeen) {
      this.session.streamError(this, errorCode.protocol, "the stream ended before the head");
      return;
    }
    // The answer is complete, so nobody needs the rest of the request (RFC 9113, section 8.1). A tunnel's two directions
    // end apart.
    if (!this.#tunnel) {
      this.#cancelBody();
      if (!this.closed) this.session.reset(this, errorCode.none);
    }
    this.#done = true;
    this.#sink.onEnd(trailers);
  }

  pause(): void {
    this.pauseReceiving();
  }

  resume(): void {
    this.resumeReceiving();
  }

  // The end

  abort(reason: ExchangeError): void {
    if (!this.closed) this.session.reset(this, errorCode.cancel);
    this.#fail(reason);
  }

  onReset(code: number): void {
    const complete = this.remoteDone;
    this.close();
    if (complete) {
      this.#cancelBody();
      return;
    }
    const name = errorCodeName(code);
    this.#fail(
      code === errorCode.refusedStream
        ? transportError("SELVAGE_ERR_REFUSED", "the peer refused the stream", "peer", "refused")
        : transportError("SELVAGE_ERR_RESET", `the peer reset the stream (${name})`),
    );
  }

  onLost(error: ExchangeError): void {
    // What was received whole is delivered, whatever became of the connection.
    if (this.endHeld && this.headSeen) {
      this.#cancelBody();
      return;
    }
    // With a GOAWAY everything that is queued still leaves; without one only what was handed to the socket.
    const { closed, sentBatch } = this.session.sender.output;
    const unsent = closed && this.batch > sentBatch;
    this.#fail(unsent ? transportError("SELVAGE_ERR_CLOSED", error.message, error.origin, "unsent", error) : error);
  }

  protected onClosed(): void {
    this.#client.active -= 1;
  }

  #fail(error: ExchangeError): void {
    this.discard();
    this.#cancelBody();
    if (this.#done) return;
    this.#done = true;
    this.#sink.onError(error);
  }
}
