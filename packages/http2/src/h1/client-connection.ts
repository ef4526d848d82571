import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Exchange, HeaderList, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { readSocket } from "../lent-reads.js";
import { chunkedBody, lengthBody, noBody, rawBody, responseFraming } from "./body-framing.js";
import { ClientExchange, type ClientExchangeOwner } from "./client-exchange.js";
import { FieldWriter } from "./field-writer.js";
import type { Http1Config } from "./limits.js";
import { MessageReader, type ReaderListener } from "./message-reader.js";
import { Output, type OutputListener } from "./output.js";
import { RequestHead } from "./request-head.js";
import { StatusLine } from "./status-line.js";
import { Deadline, type Ticked, ticker } from "./ticker.js";
import { responseError, type Violation, violations } from "./violation.js";

/** Who keeps the connection: a pool. */
export interface ClientConnectionListener {
  /** It can take the next exchange. Comes before the last one's `onEnd`, and, when a request is refused as malformed, within `call`. */
  onIdle(c: ClientConnection): void;
  /** It takes no more exchanges. Once, before the sink of the present exchange hears of it. `null`: nothing went wrong. */
  onClosed(c: ClientConnection, error: ExchangeError | null): void;
}

/**
 * The client side of one HTTP/1.1 connection (RFC 9112): one exchange at a time, no pipelining. It is used again only when the
 * framing of both messages leaves no doubt where they ended; bytes that nobody asked for end it, since they would be taken
 * for the next response.
 *
 * Aborting an exchange closes the connection: HTTP/1 has no other way.
 */
export class ClientConnection implements Service, ReaderListener, OutputListener, ClientExchangeOwner, Ticked {
  /** @internal */
  readonly output: Output;
  /** @internal */
  readonly writer = new FieldWriter();
  /** @internal */
  previousTicked: Ticked | null = null;
  /** @internal */
  nextTicked: Ticked | null = null;
  readonly #socket: Duplex;
  readonly #config: Http1Config;
  readonly #listener: ClientConnectionListener;
  readonly #reader: MessageReader<StatusLine>;
  readonly #head: RequestHead;
  readonly #deadline = new Deadline();
  #current: ClientExchange | null = null;
  #calls = 0;
  #served = 0;
  #headTimed = false;
  #socketPaused = false;
  #inputEnded = false;
  #draining = false;
  #closed = false;
  #cause: Error | null = null;

  /** Takes a socket that is connected, and through its TLS handshake. */
  constructor(socket: Duplex, config: Http1Config, listener: ClientConnectionListener) {
    this.#socket = socket;
    this.#config = config;
    this.#listener = listener;
    this.output = new Output(socket, this);
    this.#head = new RequestHead(this.writer);
    this.#reader = new MessageReader(new StatusLine(), config.limits, 0, this);
    this.#deadline.set(config.limits.idleTimeoutMs);
    ticker.add(this);
    // So that the peer's end of a tunnel isn't ours.
    socket.allowHalfOpen = true;
    socket.on("error", (error: Error) => {
      this.#cause = error;
    });
    socket.on("end", () => this.#onEnd());
    socket.on("close", () => this.#lost("the connection closed"));
    this.#reader.lent = readSocket(socket, (chunk) => this.#onData(chunk));
    socket.resume();
    if (socket.destroyed) process.nextTick(() => this.#lost("the connection closed"));
  }

  /** An exchange is in progress. */
  get busy(): boolean {
    return this.#current !== null;
  }

  /** It takes no more exchanges. */
  get closed(): boolean {
    return this.#closed || this.#draining || this.#inputEnded || !this.#socket.writable;
  }

  /** Exchanges whose response has ended. */
  get served(): number {
    return this.#served;
  }

  /** The present exchange, or the last, wasn't the first: it may have met a connection that the server was just closing. */
  get reused(): boolean {
    return this.#calls > 1;
  }

  call(x: Exchange, sink: Sink): void {
    if (this.#current !== null || this.closed) {
      sink.onError(transportError("SELVAGE_ERR_REFUSED", "the connection is busy or closed", "local", "unsent"));
      return;
    }
    const head = this.#head;
    head.encode(x);
    if (head.fault !== null) {
      this.#listener.onIdle(this);
      sink.onError(transportError("SELVAGE_ERR_MALFORMED", `the request has ${head.fault}`, "caller", "unsent"));
      return;
    }
    const length = x.body === null || head.chunked ? 0 : Math.max(this.writer.contentLength, x.body.length);
    const e = new ClientExchange(this, x, sink, head.chunked, length);
    this.#current = e;
    this.#calls++;
    this.#headTimed = false;
    x.flow = e;
    if (e.awaitsContinue) this.#deadline.set(this.#config.limits.continueTimeoutMs);
    else this.#deadline.clear();
    this.output.text(head.text);
    if (!e.requestDone && !x.tunnel && !e.awaitsContinue) e.startBody();
  }

  /** Takes no more exchanges, and closes when the present one is done. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#current === null) this.#shut(null, null, true);
  }

  /** Closes at once. An exchange in progress fails, with `error` if given. */
  destroy(error?: ExchangeError): void {
    this.#shut(error ?? null, error ?? null, false);
  }

  /** @internal */
  onMessageHead(): void {
    const e = this.#current!;
    const { line, fields } = this.#reader;
    const { status } = line;
    this.#deadline.clear();
    this.#headTimed = false;
    if (status < 200 && status !== 101) {
      this.#informational(e, status, fields.headers);
      return;
    }
    const { x } = e;
    const connects = x.method === "CONNECT" && status >= 200 && status < 300;
    if (status === 101 && (!x.tunnel || x.method === "CONNECT" || fields.upgrade === "")) {
      this.#refused(violations.unaskedUpgrade);
      return;
    }
    e.switched = status === 101 || connects;
    const framing = e.switched ? rawBody : responseFraming(fields, status, x.method);
    e.keepAlive = !x.tunnel && x.version !== "1.0" && framing !== rawBody && this.#persistent(status);
    if (framing === lengthBody) this.#reader.expectLength(fields.contentLength);
    else if (framing === chunkedBody) this.#reader.expectChunked();
    else if (framing === rawBody) this.#reader.expectRaw();
    x.responseVersion = line.version;
    x.responseHeaderCase = fields.cases;
    e.headSeen = true;
    e.sink.onHead(
      status,
      e.switched ? switchedHeaders(fields.headers, connects ? "" : fields.upgrade) : fields.headers,
    );
    if (e.done) return;
    if (e.switched) e.startBody();
    // It may still want the body, unless it said no.
    else if (e.awaitsContinue && status < 300) e.startBody();
    if (framing === noBody && !e.done) this.#responseDone(e, null);
  }

  #persistent(status: number): boolean {
    const { line, fields } = this.#reader;
    const { options } = fields;
    // A 204 has no body, whatever it declares. Who declares one may also send it.
    if (status === 204 && (fields.chunked || fields.contentLength > 0)) return false;
    return !options.close && (line.version === "1.1" || options.keepAlive);
  }

  #informational(e: ClientExchange, status: number, headers: HeaderList): void {
    if (++e.informational > this.#config.limits.maxInformational) {
      this.#refused(violations.informationalFlood);
      return;
    }
    this.#reader.expectHead();
    e.sink.onInformational(status, headers);
    if (e.done || !e.awaitsContinue) return;
    if (status === 100) e.startBody();
    else this.#deadline.set(this.#config.limits.continueTimeoutMs);
  }

  /** @internal */
  onBodyData(chunk: Buffer): void {
    this.#current!.sink.onData(chunk);
  }

  /** @internal */
  onBodyEnd(trailers: HeaderList | null): void {
    this.#responseDone(this.#current!, trailers);
  }

  /** @internal */
  onRefused(violation: Violation): void {
    this.#refused(violation);
  }

  #refused(violation: Violation): void {
    this.#config.onProtection(violation.reason);
    const error = responseError(violation);
    this.#shut(error, error, false);
  }

  /** @internal */
  onFlowDemand(e: ClientExchange): void {
    if (e !== this.#current || e.done) return;
    this.#reader.paused = e.paused;
    this.#pump();
  }

  /** @internal */
  onAbort(e: ClientExchange, reason: ExchangeError): void {
    if (e === this.#current) this.#shut(null, reason, false);
  }

  /** @internal */
  onRequestEnd(e: ClientExchange): void {
    if (e === this.#current && e.done) this.#shut(null, null, true);
  }

  /** @internal */
  onFlush(): void {}

  /** @internal */
  onBlocked(): void {
    this.#current?.pauseBody();
  }

  /** @internal */
  onDrained(): void {
    this.#current?.resumeBody();
  }

  #responseDone(e: ClientExchange, trailers: HeaderList | null): void {
    e.done = true;
    this.#served++;
    if (e.switched) {
      if (e.requestDone) this.#shut(null, null, true);
      e.sink.onEnd(trailers);
      return;
    }
    const clean = e.keepAlive && e.requestDone && !this.closed;
    if (clean && !this.#reader.holding) {
      this.#current = null;
      this.#reader.paused = false;
      this.#reader.expectHead();
      this.#deadline.set(this.#config.limits.idleTimeoutMs);
      this.#listener.onIdle(this);
    } else {
      if (clean) this.#config.onProtection(violations.unsolicitedResponse.reason);
      this.#shut(null, null, e.requestDone);
    }
    e.sink.onEnd(trailers);
  }

  #onData(chunk: Buffer): void {
    if (this.#closed) return;
    if (this.#current === null) {
      this.#refused(violations.unsolicitedResponse);
      return;
    }
    this.#reader.feed(chunk);
    this.#afterReading();
  }

  #pump(): void {
    const reader = this.#reader;
    if (reader.running) return;
    reader.run();
    this.#afterReading();
  }

  #afterReading(): void {
    if (this.#closed) return;
    const reader = this.#reader;
    if (reader.holding !== this.#socketPaused) {
      this.#socketPaused = reader.holding;
      if (this.#socketPaused) this.#socket.pause();
      else this.#socket.resume();
    }
    if (this.#inputEnded && !reader.holding) this.#afterInput();
    else if (!this.#headTimed && reader.inHead) {
      this.#headTimed = true;
      this.#deadline.set(this.#config.limits.headTimeoutMs);
    }
  }

  #onEnd(): void {
    this.#inputEnded = true;
    if (!this.#reader.holding) this.#afterInput();
  }

  /** All that the server sent was read, and more won't come. */
  #afterInput(): void {
    const e = this.#current;
    if (this.#closed) return;
    if (e === null) this.#shut(null, null, true);
    else if (this.#reader.raw) {
      if (!e.done) this.#responseDone(e, null);
    } else this.#lost("the server ended the connection before its response");
  }

  #lost(message: string): void {
    const e = this.#current;
    if (this.#closed) return;
    if (e === null && this.#cause === null) {
      this.#shut(null, null, false);
      return;
    }
    const unsent = e !== null && e.flushes === this.output.flushes;
    const cause = this.#cause ?? undefined;
    const error = transportError("SELVAGE_ERR_CLOSED", message, "peer", unsent ? "unsent" : "processed", cause);
    this.#shut(error, error, false);
  }

  #shut(error: ExchangeError | null, reason: ExchangeError | null, softly: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    const e = this.#current;
    this.#current = null;
    ticker.remove(this);
    this.#reader.kill();
    if (softly) closeSoftly(this.#socket, this.output, this.#config.limits.stallTimeoutMs);
    else this.#socket.destroy();
    const unsent = e !== null && e.flushes === this.output.flushes;
    this.output.discard();
    this.#listener.onClosed(this, error);
    if (e === null) return;
    e.close(
      reason ??
        transportError("SELVAGE_ERR_CLOSED", "the connection was closed", "local", unsent ? "unsent" : "processed"),
    );
  }

  /** @internal */
  onTick(): void {
    const now = this.#config.now();
    if (this.output.stalled(now, this.#config.limits.stallTimeoutMs)) this.#refused(violations.stalledReader);
    else if (this.#deadline.passed(now)) this.#expire();
  }

  #expire(): void {
    const e = this.#current;
    if (e === null) this.#shut(null, null, true);
    else if (this.#reader.inHead) this.#refused(violations.headTimeout);
    else if (e.awaitsContinue) e.startBody();
  }
}

/** Those of a response that switches protocols, with what says so (RFC 9110, section 7.8), and without a length (section 9.3.6). */
function switchedHeaders(headers: HeaderList, upgrade: string): HeaderList {
  const switched: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "content-length") switched.push(headers[i]!, headers[i + 1]!);
  }
  if (upgrade !== "") switched.push("connection", "Upgrade", "upgrade", upgrade);
  return switched;
}

/** Lets what was written go out first, unless the peer has stopped reading. */
function closeSoftly(socket: Duplex, output: Output, stallTimeoutMs: number): void {
  output.flush();
  const { destroySoon, setTimeout } = socket as Partial<Pick<Socket, "destroySoon" | "setTimeout">>;
  if (destroySoon === undefined) {
    if (socket.writable) socket.end(() => socket.destroy());
    else socket.destroy();
    return;
  }
  if (stallTimeoutMs < Number.POSITIVE_INFINITY) setTimeout?.call(socket, stallTimeoutMs, () => socket.destroy());
  destroySoon.call(socket);
}
