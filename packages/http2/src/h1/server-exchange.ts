import type { Body, BodySink, Exchange, HeaderList, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { chunkedBody, hasResponseBody, lengthBody, noBody, rawBody } from "./body-framing.js";
import type { FieldWriter } from "./field-writer.js";
import type { Output } from "./output.js";
import { statusLine } from "./status-text.js";

/** What a server connection does for the exchange on it. */
export interface ServerExchangeOwner {
  readonly output: Output;
  readonly writer: FieldWriter;
  /** What is left of the request's body is known, and little enough to be read over after the response. */
  readonly restIsSmall: boolean;
  /** `pipe`, `pause`, `resume` or `cancel` was called. */
  onBodyDemand(e: ServerExchange): void;
  onResponseEnd(e: ServerExchange): void;
  /** The exchange failed before its head: the connection answers with this status, and closes. */
  onResponseRefused(status: number): void;
  /** The response can't be completed, and its receiver must see that: also when its end is that of the connection. */
  onResponseBroken(endsWithConnection: boolean): void;
}

// The head is written but for its framing, which waits for the first data, the end or the flush, whichever is first.
const undecided = -1;

/** One request that a server connection read: the sink of its response, and its body. */
export class ServerExchange implements Sink, Body {
  readonly length: number;
  readonly x: Exchange;
  /** Whether the connection may go on after the response. */
  keepAlive: boolean;
  /** Waits for a 100 before it sends its body. */
  awaitsContinue: boolean;
  bodySink: BodySink | null = null;
  bodyPaused = false;
  bodyCancelled = false;
  /** The body has come to its end, or there is none. */
  requestDone: boolean;
  headSent = false;
  responseDone = false;
  /** Both directions are the raw bytes of a tunnel. */
  switched = false;
  readonly #owner: ServerExchangeOwner;
  #mode = noBody;
  #remaining = 0;

  constructor(
    owner: ServerExchangeOwner,
    x: Exchange,
    hasBody: boolean,
    length: number,
    keepAlive: boolean,
    expect: boolean,
  ) {
    this.#owner = owner;
    this.x = x;
    this.length = length;
    this.keepAlive = keepAlive;
    this.requestDone = !hasBody;
    this.awaitsContinue = expect && hasBody && x.version !== "1.0";
  }

  /** The body is wanted now. */
  get wantsBody(): boolean {
    return this.bodyCancelled || this.responseDone ? true : this.bodySink !== null && !this.bodyPaused;
  }

  pipe(sink: BodySink): void {
    if (this.bodySink !== null || this.bodyCancelled) return;
    this.bodySink = sink;
    if (this.requestDone) sink.onEnd(null);
    else this.#owner.onBodyDemand(this);
  }

  pause(): void {
    if (this.bodyPaused) return;
    this.bodyPaused = true;
    if (!this.requestDone) this.#owner.onBodyDemand(this);
  }

  resume(): void {
    if (!this.bodyPaused) return;
    this.bodyPaused = false;
    if (!this.requestDone) this.#owner.onBodyDemand(this);
  }

  cancel(): void {
    if (this.bodyCancelled) return;
    this.bodyCancelled = true;
    this.bodySink = null;
    if (!this.requestDone) this.#owner.onBodyDemand(this);
  }

  onInformational(status: number, headers: HeaderList): void {
    if (this.headSent || this.responseDone || this.x.version === "1.0") return;
    if (status < 100 || status > 199 || status === 101) return;
    if (status === 100) {
      if (!this.awaitsContinue) return;
      this.awaitsContinue = false;
    }
    const { writer, output } = this.#owner;
    writer.encode(headers, this.x.responseHeaderCase);
    if (writer.fault === null) output.text(`${statusLine(status)}${writer.text}\r\n`);
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.headSent || this.responseDone) return;
    const { x } = this;
    const { writer, output } = this.#owner;
    writer.encode(headers, x.responseHeaderCase);
    const line = statusLine(status);
    const switches = x.tunnel && (x.method === "CONNECT" ? status >= 200 && status < 300 : status === 101);
    if (writer.fault !== null || line === "" || (status < 200 && !switches)) {
      this.#refuse(writer.fault ?? `status ${status}`);
      return;
    }
    this.headSent = true;
    // A body that waits for a 100 may come or not; who guesses wrong reads it as a request. And who refuses a body leaves the rest
    // unread: a client that isn't told would send its next request to a connection that is about to close.
    if (!this.requestDone && (this.awaitsContinue || (status >= 400 && !this.#owner.restIsSmall)))
      this.keepAlive = false;
    output.text(switches ? this.#switchingHead(line, status) : this.#head(line, status));
    if (output.blocked) x.flow.pause();
  }

  #switchingHead(line: string, status: number): string {
    const { writer } = this.#owner;
    this.switched = true;
    this.#mode = rawBody;
    // Neither length nor encoding: RFC 9110, section 9.3.6.
    if (status !== 101) return `${line}${writer.text}\r\n`;
    return `${line}${writer.text}Connection: Upgrade\r\nUpgrade: ${writer.upgrade || this.#askedUpgrade()}\r\n\r\n`;
  }

  #askedUpgrade(): string {
    const { headers } = this.x;
    for (let i = 0; i < headers.length; i += 2) if (headers[i] === "upgrade") return headers[i + 1]!;
    return "";
  }

  #head(line: string, status: number): string {
    const { writer } = this.#owner;
    const { contentLength } = writer;
    const old = this.x.version === "1.0";
    let text = line + writer.text;
    let end = "\r\n";
    if (!hasResponseBody(status, this.x.method)) {
      this.#mode = noBody;
      // RFC 9110, section 8.6: what a GET would have said, but never with 204.
      if (contentLength >= 0 && status !== 204) text += `Content-Length: ${contentLength}\r\n`;
    } else if (contentLength >= 0) {
      this.#mode = lengthBody;
      this.#remaining = contentLength;
      text += `Content-Length: ${contentLength}\r\n`;
    } else if (old) {
      this.#mode = rawBody;
      this.keepAlive = false;
    } else {
      this.#mode = undecided;
      end = "";
    }
    if (!this.keepAlive) text += "Connection: close\r\n";
    else if (old) text += "Connection: keep-alive\r\n";
    return text + end;
  }

  /** Whatever the response turns out to be, its head goes out now. */
  decide(): void {
    if (this.#mode !== undecided) return;
    this.#mode = chunkedBody;
    this.#owner.output.text("Transfer-Encoding: chunked\r\n\r\n");
  }

  onData(chunk: Uint8Array): void {
    if (this.responseDone || !this.headSent || chunk.length === 0) return;
    const { output } = this.#owner;
    switch (this.#mode) {
      case noBody:
        return;
      case lengthBody:
        if (chunk.length > this.#remaining) {
          this.#refuse("more data than content-length");
          return;
        }
        this.#remaining -= chunk.length;
        output.bytes(chunk);
        break;
      case rawBody:
        output.bytes(chunk);
        break;
      default:
        this.decide();
        output.chunk(chunk);
    }
    if (output.blocked) this.x.flow.pause();
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.responseDone) return;
    if (!this.headSent) {
      this.#refuse("no head");
      return;
    }
    if (this.#mode === lengthBody && this.#remaining > 0) {
      this.#refuse("less data than content-length");
      return;
    }
    const { output } = this.#owner;
    if (this.#mode === undecided && trailers === null) output.text("Content-Length: 0\r\n\r\n");
    else if (this.#mode === undecided || this.#mode === chunkedBody) {
      this.decide();
      // Trailers go with every chunked body, asked for by TE or not: who doesn't want them has to read over them (RFC 9112, section 7.1.2).
      const text = trailers === null ? "" : this.#owner.writer.trailers(trailers, this.x.responseHeaderCase);
      if (text === null) {
        this.#refuse("trailers that can't be sent");
        return;
      }
      output.text(`0\r\n${text}\r\n`);
    }
    this.responseDone = true;
    this.#owner.onResponseEnd(this);
  }

  onError(error: ExchangeError): void {
    if (this.responseDone) return;
    this.responseDone = true;
    this.keepAlive = false;
    if (this.headSent) this.#owner.onResponseBroken(this.#mode === rawBody);
    else this.#owner.onResponseRefused(error.status);
  }

  /** Ends it from this side, which whoever holds it passes on to `onError`. */
  fail(error: ExchangeError): void {
    this.x.flow.abort(error);
    if (!this.responseDone) this.onError(error);
  }

  /** There is nobody left to answer. */
  lose(): void {
    this.fail(transportError("SELVAGE_ERR_ABORTED", "the client is gone", "caller"));
  }

  #refuse(fault: string): void {
    this.fail(transportError("SELVAGE_ERR_PROTOCOL", `the response has ${fault}`));
  }
}
