import type { Duplex } from "node:stream";
import type { Connection, Exchange, HeaderList, Service } from "../exchange.js";
import { readSocket } from "../lent-reads.js";
import { lengthBody, noBody, requestFraming } from "./body-framing.js";
import { FieldWriter } from "./field-writer.js";
import type { Http1Config } from "./limits.js";
import { MessageReader, type ReaderListener } from "./message-reader.js";
import { Output, type OutputListener } from "./output.js";
import { RequestLine } from "./request-line.js";
import { resetConnection } from "./reset-connection.js";
import { ServerExchange, type ServerExchangeOwner } from "./server-exchange.js";
import { statusLine } from "./status-text.js";
import { Deadline, type Ticked, ticker } from "./ticker.js";
import { requestError, type Violation, violations } from "./violation.js";

/** Who accepted the connection. */
export interface ServerConnectionListener {
  /** The socket is closed. Called once. */
  onClosed(c: ServerConnection): void;
}

/**
 * The server side of one HTTP/1 connection (RFC 9112): reads requests one after the other, gives each to a `Service`, and writes
 * the responses in order. Pipelined requests wait unread until their turn. What is ambiguous is refused with a 4xx, and the
 * connection ends, so that nothing after it is read as a request.
 *
 * Responses are HTTP/1.1, also to HTTP/1.0. `Date` and `Server` aren't added.
 */
export class ServerConnection implements ReaderListener, OutputListener, ServerExchangeOwner, Ticked {
  /** @internal */
  readonly output: Output;
  /** @internal */
  readonly writer = new FieldWriter();
  /** @internal */
  previousTicked: Ticked | null = null;
  /** @internal */
  nextTicked: Ticked | null = null;
  readonly #socket: Duplex;
  readonly #connection: Connection;
  readonly #service: Service;
  readonly #config: Http1Config;
  readonly #listener: ServerConnectionListener;
  readonly #reader: MessageReader<RequestLine>;
  readonly #deadline = new Deadline();
  #current: ServerExchange | null = null;
  #discarded = 0;
  #headTimed = true;
  #socketPaused = false;
  #inputEnded = false;
  #draining = false;
  #closing = false;
  #closed = false;

  constructor(
    socket: Duplex,
    connection: Connection,
    service: Service,
    config: Http1Config,
    listener: ServerConnectionListener,
  ) {
    this.#socket = socket;
    this.#connection = connection;
    this.#service = service;
    this.#config = config;
    this.#listener = listener;
    this.output = new Output(socket, this);
    const { limits } = config;
    const line = new RequestLine(limits, config.allowConnect10);
    this.#reader = new MessageReader(line, limits, limits.maxLeadingLines, this);
    this.#deadline.set(limits.headTimeoutMs);
    ticker.add(this);
    // What becomes of a client that ends its half is decided here, and a response that is under way gets out.
    socket.allowHalfOpen = true;
    socket.on("error", () => {});
    socket.on("end", () => this.#onEnd());
    socket.on("close", () => this.#onClose());
    this.#reader.lent = readSocket(socket, (chunk) => this.#onData(chunk));
    socket.resume();
    if (socket.destroyed) process.nextTick(() => this.#onClose());
  }

  /** Exchanges in progress: 0 or 1. */
  get active(): number {
    return this.#current === null ? 0 : 1;
  }

  /**
   * Takes no request after the present one, whose response says `Connection: close` if its head isn't out yet. Without a present
   * one the next is taken, if it comes within `discardTimeoutMs`. A tunnel goes on.
   */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    if (this.#current !== null) {
      if (!this.#current.headSent) this.#current.keepAlive = false;
    } else if (this.#reader.inHead || this.#reader.holding) {
      // A request is on its way, and is answered.
    } else {
      // One may be on its way: closing now would lose it.
      this.#deadline.set(this.#config.limits.discardTimeoutMs);
    }
  }

  /** Closes at once. An exchange in progress is aborted. */
  destroy(): void {
    this.#socket.destroy();
    this.#onClose();
  }

  /** @internal */
  onMessageHead(): void {
    const { line, fields } = this.#reader;
    const { options } = fields;
    const x = this.#config.newExchange();
    x.method = line.method;
    x.scheme = line.scheme ?? this.#config.scheme;
    x.authority = line.authority ?? fields.host ?? "";
    x.path = line.path;
    x.version = line.version;
    x.absoluteForm = line.scheme !== null;
    x.headers = fields.headers;
    x.headerCase = fields.cases;
    x.connection = this.#connection;
    const framing = requestFraming(fields);
    // Upgrade with a body is legal, and read in too many ways: the body is what counts, and the upgrade is ignored, as it may be.
    const upgrades = options.upgrade && fields.upgrade !== "" && framing === noBody;
    const tunnel = line.method === "CONNECT" || (line.version === "1.1" && upgrades);
    if (tunnel) this.#asTunnel(x);
    const length = framing === lengthBody ? fields.contentLength : -1;
    const persistent = line.version === "1.1" ? !options.close : options.keepAlive && !options.close;
    const keepAlive = persistent && !tunnel && !this.#draining;
    const hasBody = tunnel || framing !== noBody;
    const e = new ServerExchange(this, x, hasBody, length, keepAlive, fields.expectContinue);
    this.#current = e;
    this.#deadline.clear();
    this.#headTimed = false;
    this.#discarded = 0;
    if (hasBody) {
      x.body = e;
      this.#reader.paused = true;
      if (tunnel) this.#reader.expectRaw();
      else if (framing === lengthBody) this.#reader.expectLength(length);
      else this.#reader.expectChunked();
    }
    this.#service.call(x, e);
  }

  #asTunnel(x: Exchange): void {
    x.tunnel = true;
    const { upgrade } = this.#reader.fields;
    if (x.method !== "CONNECT") x.headers = [...x.headers, "connection", "Upgrade", "upgrade", upgrade];
  }

  /** @internal */
  onBodyData(chunk: Buffer): void {
    const e = this.#current;
    if (e === null) return;
    e.awaitsContinue = false;
    if (e.bodySink !== null && !e.responseDone) {
      if (!e.switched) this.#deadline.set(this.#config.limits.bodyTimeoutMs);
      e.bodySink.onData(chunk);
    } else if (e.switched) e.bodySink?.onData(chunk);
    else this.#discard(e, chunk.length);
  }

  #discard(e: ServerExchange, length: number): void {
    this.#discarded += length;
    if (this.#discarded <= this.#config.limits.maxDiscardBytes) return;
    this.#config.onProtection(violations.unreadBody.reason);
    e.keepAlive = false;
    if (e.responseDone) this.#close();
    else this.#reader.paused = true;
  }

  /** @internal */
  onBodyEnd(trailers: HeaderList | null): void {
    const e = this.#current;
    if (e === null) return;
    e.requestDone = true;
    e.awaitsContinue = false;
    this.#deadline.clear();
    if (e.responseDone) this.#finish(e);
    else e.bodySink?.onEnd(trailers);
  }

  /** @internal */
  onRefused(violation: Violation): void {
    this.#config.onProtection(violation.reason);
    const e = this.#current;
    if (e === null) this.onResponseRefused(violation.status);
    else if (e.responseDone) this.#close();
    else {
      e.keepAlive = false;
      e.fail(requestError(violation));
    }
  }

  /** @internal */
  onBodyDemand(e: ServerExchange): void {
    if (e !== this.#current || this.#closing) return;
    const wanted = e.wantsBody && this.#discarded <= this.#config.limits.maxDiscardBytes;
    this.#reader.paused = !wanted;
    if (!wanted || e.switched) this.#deadline.clear();
    else this.#deadline.set(this.#config.limits.bodyTimeoutMs);
    this.#pump();
  }

  /** @internal */
  get restIsSmall(): boolean {
    return this.#discarded + this.#reader.bodyLeft <= this.#config.limits.maxDiscardBytes;
  }

  /** @internal */
  onResponseEnd(e: ServerExchange): void {
    if (e !== this.#current) return;
    if (e.switched) {
      this.output.end();
      if (e.requestDone) this.#close();
    } else if (e.requestDone) this.#finish(e);
    else if (!e.keepAlive || e.awaitsContinue) this.#close();
    else {
      // The rest of the body is in the way of the next request.
      this.#deadline.set(this.#config.limits.discardTimeoutMs);
      this.#reader.paused = false;
      this.#pump();
    }
  }

  /** @internal */
  onResponseRefused(status: number): void {
    if (this.#closing || this.#closed) return;
    const line = statusLine(status >= 400 ? status : 500);
    this.output.text(`${line}Content-Length: 0\r\nConnection: close\r\n\r\n`);
    this.#close();
  }

  /** @internal */
  onResponseBroken(endsWithConnection: boolean): void {
    this.output.flush();
    if (endsWithConnection) resetConnection(this.#socket);
    else this.#socket.destroy();
    this.#onClose();
  }

  /** @internal */
  onFlush(): void {
    this.#current?.decide();
  }

  /** @internal */
  onBlocked(): void {
    const e = this.#current;
    if (e === null) this.#reader.paused = !this.#closing;
    else if (!e.responseDone) e.x.flow.pause();
  }

  /** @internal */
  onDrained(): void {
    const e = this.#current;
    if (e !== null) {
      if (!e.responseDone) e.x.flow.resume();
      return;
    }
    this.#reader.paused = false;
    this.#pump();
  }

  #finish(e: ServerExchange): void {
    this.#current = null;
    if (!e.keepAlive || this.#draining) {
      this.#close();
      return;
    }
    this.#reader.expectHead();
    // A client that doesn't read its responses gets no further ones made.
    this.#reader.paused = this.output.blocked;
    this.#deadline.set(this.#config.limits.idleTimeoutMs);
    this.#pump();
  }

  #pump(): void {
    const reader = this.#reader;
    if (reader.running) return;
    reader.run();
    this.#afterReading();
  }

  #onData(chunk: Buffer): void {
    if (this.#closing) {
      // Beyond the limit the rest stays in the kernel, until the client has read the response or the time is up.
      this.#discarded += chunk.length;
      if (this.#discarded > this.#config.limits.maxDiscardBytes) {
        this.#config.onProtection(violations.unreadBody.reason);
        this.#socket.pause();
      }
      return;
    }
    this.#reader.feed(chunk);
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

  /** All that the client sent was read, and more won't come. */
  #afterInput(): void {
    const e = this.#current;
    if (this.#closing) return;
    if (e === null || (e.responseDone && !e.switched)) this.#close();
    else if (!e.requestDone && !this.#reader.raw) {
      this.#config.onProtection(violations.truncated.reason);
      this.destroy();
    } else if (!e.switched && !this.#config.allowHalfClose) {
      // As node:http and hyper: nearly every client that ends its half is gone.
      e.lose();
    } else if (!e.requestDone) {
      e.requestDone = true;
      e.bodySink?.onEnd(null);
      if (e.responseDone) this.#close();
    }
  }

  /** Ends our direction, and reads over what still comes for a while: a close with unread bytes would take the response along. */
  #close(): void {
    if (this.#closing || this.#closed) return;
    this.#closing = true;
    this.#current = null;
    this.#discarded = 0;
    this.#reader.kill();
    this.output.end();
    this.#deadline.set(this.#config.limits.discardTimeoutMs);
    if (this.#socketPaused) this.#socket.resume();
    this.#socketPaused = false;
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    ticker.remove(this);
    this.#reader.kill();
    this.output.discard();
    const e = this.#current;
    this.#current = null;
    if (e !== null) this.#abandon(e);
    this.#listener.onClosed(this);
  }

  #abandon(e: ServerExchange): void {
    if (!e.responseDone) e.lose();
    // The other direction of a tunnel outlives its response, and abort no longer reaches it.
    else if (e.switched && !e.requestDone) e.bodySink?.onEnd(null);
    e.requestDone = true;
  }

  /** @internal */
  onTick(): void {
    const now = this.#config.now();
    const { limits } = this.#config;
    if (this.output.stalled(now, limits.stallTimeoutMs)) {
      this.#config.onProtection(violations.stalledReader.reason);
      this.destroy();
    } else if (this.#deadline.passed(now)) this.#expire();
  }

  #expire(): void {
    const e = this.#current;
    if (this.#closing) {
      // What is still being written is the business of the stall timeout.
      if (this.output.blocked) this.#deadline.set(this.#config.limits.discardTimeoutMs);
      else this.destroy();
    } else if (e === null) {
      if (this.#reader.inHead) this.onRefused(violations.headTimeout);
      else this.#close();
    } else if (e.responseDone) {
      this.#config.onProtection(violations.unreadBody.reason);
      this.#close();
    } else {
      this.#reader.kill();
      this.onRefused(violations.bodyTimeout);
    }
  }
}
