import type { Body, BodySink, Exchange, Flow, HeaderList, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { chunkedBody, lengthBody, noBody, rawBody } from "./body-framing.js";
import type { FieldWriter } from "./field-writer.js";
import type { Output } from "./output.js";

/** What a client connection does for the exchange on it. */
export interface ClientExchangeOwner {
  readonly output: Output;
  readonly writer: FieldWriter;
  onFlowDemand(e: ClientExchange): void;
  onAbort(e: ClientExchange, reason: ExchangeError): void;
  onRequestEnd(e: ClientExchange): void;
}

/** One request on a client connection: its flow, and the sink of its body. */
export class ClientExchange implements Flow, BodySink {
  readonly x: Exchange;
  readonly sink: Sink;
  readonly body: Body | null;
  /** `Output.flushes` when the request was written: as long as it stays so, nothing of it was sent. */
  readonly flushes: number;
  paused = false;
  /** The body waits for a 100. */
  awaitsContinue: boolean;
  informational = 0;
  keepAlive = true;
  requestDone: boolean;
  headSeen = false;
  /** The sink's terminal call was made. */
  done = false;
  switched = false;
  readonly #owner: ClientExchangeOwner;
  readonly #mode: number;
  #remaining: number;
  #piped = false;

  constructor(owner: ClientExchangeOwner, x: Exchange, sink: Sink, chunked: boolean, length: number) {
    this.#owner = owner;
    this.x = x;
    this.sink = sink;
    this.body = x.body;
    this.flushes = owner.output.flushes;
    this.awaitsContinue = x.body !== null && !x.tunnel && x.version !== "1.0" && owner.writer.expectContinue;
    this.requestDone = x.body === null;
    this.#mode = x.tunnel ? rawBody : chunked ? chunkedBody : x.body === null ? noBody : lengthBody;
    this.#remaining = length;
  }

  abort(reason: ExchangeError): void {
    this.#owner.onAbort(this, reason);
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.#owner.onFlowDemand(this);
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.#owner.onFlowDemand(this);
  }

  startBody(): void {
    this.awaitsContinue = false;
    if (this.#piped || this.body === null) return;
    this.#piped = true;
    this.body.pipe(this);
  }

  pauseBody(): void {
    if (this.#piped && !this.requestDone) this.body?.pause();
  }

  resumeBody(): void {
    if (this.#piped && !this.requestDone) this.body?.resume();
  }

  onData(chunk: Uint8Array): void {
    if (this.requestDone || chunk.length === 0) return;
    const { output } = this.#owner;
    if (this.#mode === chunkedBody) output.chunk(chunk);
    else if (this.#mode === rawBody) output.bytes(chunk);
    else if (chunk.length <= this.#remaining) {
      this.#remaining -= chunk.length;
      output.bytes(chunk);
    } else {
      this.#fail("more data than content-length");
      return;
    }
    if (output.blocked) this.body?.pause();
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.requestDone) return;
    if (this.#mode === lengthBody && this.#remaining > 0) {
      this.#fail("less data than content-length");
      return;
    }
    const { output, writer } = this.#owner;
    if (this.#mode === chunkedBody) {
      const text = trailers === null ? "" : writer.trailers(trailers, this.x.headerCase);
      if (text === null) {
        this.#fail("trailers that can't be sent");
        return;
      }
      output.text(`0\r\n${text}\r\n`);
    } else if (this.#mode === rawBody) output.end();
    this.requestDone = true;
    this.#owner.onRequestEnd(this);
  }

  /** The connection is done with it. `error` is for a sink that still waits. */
  close(error: ExchangeError): void {
    this.dropBody();
    if (this.done) return;
    this.done = true;
    this.sink.onError(error);
  }

  dropBody(): void {
    if (this.requestDone) return;
    this.requestDone = true;
    if (this.#piped) this.body?.cancel();
  }

  #fail(fault: string): void {
    const progress = this.flushes === this.#owner.output.flushes ? "unsent" : "processed";
    this.abort(transportError("SELVAGE_ERR_MALFORMED", `the request has ${fault}`, "caller", progress));
  }
}
