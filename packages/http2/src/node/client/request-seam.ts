import { AsyncResource } from "node:async_hooks";
import type { Exchange, Service } from "../../exchange.js";
import type { ExchangeError } from "../../exchange-error.js";
import type { ActiveCall, ActiveCalls } from "./active-calls.js";
import { destroyError, type RequestInternals, type RequestSymbols, type WriteCallback } from "./client-internals.js";
import { ClientSocket, type ClientSocketOwner } from "./client-socket.js";
import type { HeaderNames } from "./header-names.js";
import { MessageBody, type MessageBodyOwner } from "./message-body.js";
import { emitError, hangUp } from "./request-failure.js";
import type { RequestHead } from "./request-head.js";
import { installSeam, type SeamMethods } from "./request-methods.js";
import { fillExchange, headOfMap, headOfText, type RequestTarget, trailersOf } from "./request-text.js";
import { emitResponseTimeout, type ResponseOwner, ResponseSeam, runInScope } from "./response-seam.js";
import { TunnelBody } from "./tunnel.js";

/** What all requests of one agent share. */
export interface SeamSettings {
  readonly service: Service;
  readonly newExchange: () => Exchange;
  readonly names: HeaderNames;
  readonly active: ActiveCalls;
  readonly symbols: RequestSymbols;
}

/**
 * A genuine `ClientRequest` whose bytes never become text: its head and body go into a service, and the answer comes back
 * as a genuine `IncomingMessage`. Everything that applications see stays Node's own code, but for three methods that are
 * put on the request itself. It does what Node does with a request between its agent and its socket, at the same moments.
 */
export class RequestSeam implements SeamMethods, ResponseOwner, ClientSocketOwner, MessageBodyOwner, ActiveCall {
  activePrevious: ActiveCall | null = null;
  activeNext: ActiveCall | null = null;
  readonly #settings: SeamSettings;
  readonly #target: RequestTarget;
  readonly #req: RequestInternals;
  readonly #socket: ClientSocket;
  readonly #body: MessageBody;
  readonly #scope = new AsyncResource("SELVAGE_CLIENT_REQUEST", { requireManualDestroy: true });
  #head: RequestHead | null = null;
  #response: ResponseSeam | null = null;
  #attached = false;
  /** Node has given out bytes, or asked for the head to be sent. */
  #sending = false;
  #starting = false;
  /** The request has emitted 'close', or is about to. */
  #closed = false;
  #failure: ExchangeError | null = null;

  /** To be called inside the request's constructor, as an agent's `addRequest` is. */
  constructor(settings: SeamSettings, target: RequestTarget, req: RequestInternals) {
    this.#settings = settings;
    this.#target = target;
    this.#req = req;
    this.#socket = new ClientSocket(this, req, target.scheme === "https");
    this.#body = new MessageBody(this);
    installSeam(req, this);
    if (req._header !== null) this.#takeRendered(req._header);
    settings.active.add(this);
    process.nextTick(attach, this);
  }

  get waitingBytes(): number {
    return this.#body.waitingBytes;
  }

  storeHeader(firstLine: string, headers: unknown): void {
    this.#head = headOfMap(headers, this.#settings.names);
    this.#req._header = `${firstLine}\r\n`;
    this.#req._headerSent = false;
    this.#req.chunkedEncoding = false;
  }

  send(data: string | Uint8Array, encoding: BufferEncoding | null, callback: WriteCallback | null): boolean {
    this.#req._headerSent = true;
    if (this.#socket.destroyed) return false;
    this.#sending = true;
    const bytes = typeof data === "string" ? Buffer.from(data, encoding ?? "utf8") : data;
    this.#body.write(bytes, callback);
    this.#socket.touch();
    this.#startSoon();
    return this.#body.waitingBytes < this.#socket.writableHighWaterMark;
  }

  ended(): void {
    const chunked = this.#head !== null && this.#head.contentLength < 0;
    const { _trailer: text } = this.#req;
    this.#body.end(chunked && text !== "" ? trailersOf(text, this.#settings.names) : null);
  }

  /** A tick after the request was made: when Node would give it a socket that is already connected. */
  attach(): void {
    const req = this.#req;
    const socket = this.#socket;
    if (this.#attached) return;
    if (req.destroyed) {
      this.#closeUnattached();
      return;
    }
    this.#attached = true;
    req.socket = socket;
    if (this.#target.timeoutMs > 0) {
      req.timeoutCb = emitRequestTimeout;
      socket.once("timeout", emitRequestTimeout);
      socket.setTimeout(this.#target.timeoutMs);
    }
    req.emit("socket", socket as never);
    if (req.finished) req._finish();
    if (this.#sending) this.start();
  }

  start(): void {
    if (this.#response !== null || this.#socket.destroyed || this.#head === null) return;
    const x = this.#settings.newExchange();
    let tunnelBody: TunnelBody | null = null;
    try {
      if (fillExchange(x, this.#req, this.#head, this.#target, this.#body)) tunnelBody = new TunnelBody();
    } catch (error) {
      this.#socket.destroy(error as Error);
      return;
    }
    x.headerCase = this.#settings.names.headerCase;
    if (tunnelBody !== null) x.body = tunnelBody;
    // Without a body to send, what was written is nobody's.
    if (x.body !== this.#body) this.#body.cancel();
    this.#response = new ResponseSeam(this, x, this.#req, this.#socket, this.#scope, tunnelBody);
    this.#settings.service.call(x, this.#response);
  }

  abort(reason: Error): void {
    this.#req.destroy(reason);
  }

  exchangeEnded(): void {
    this.#settings.active.remove(this);
  }

  exchangeFailed(error: ExchangeError): void {
    this.exchangeEnded();
    this.#failure = error;
    this.#body.destroy(error);
    if (this.#socket.destroyed) return;
    this.#socket.destroyed = true;
    // A response that has begun fails by itself; Node tells the request nothing of it.
    this.#closeSoon(this.#response?.res ? null : error);
  }

  tunnelOpened(): void {
    this.exchangeEnded();
    this.#closed = true;
    this.#socket.settle();
  }

  pauseResponse(): void {
    this.#response?.pause();
  }

  resumeResponse(): void {
    this.#response?.resume();
  }

  onSocketDestroy(error: Error | null): void {
    this.exchangeEnded();
    this.#body.destroy(error ?? hangUp("socket hang up", null));
    this.#response?.abort(error);
    this.#closeSoon(error);
  }

  bodyTouched(): void {
    this.#socket.touch();
  }

  bodyMismatched(written: number, declared: number): void {
    const message = `request body's length (${written} bytes) does not match the content-length of ${declared}`;
    this.#req.destroy(Object.assign(new Error(message), { code: "ERR_HTTP_CONTENT_LENGTH_MISMATCH" }));
  }

  bodyDrained(): void {
    const flags = this.#req as unknown as Record<symbol, unknown>;
    const { needDrain } = this.#settings.symbols;
    if (this.#req.finished || flags[needDrain] !== true) return;
    flags[needDrain] = false;
    runInScope(this.#scope, emitDrain, this.#req, undefined, undefined);
  }

  /** The socket was destroyed with an error. */
  tellError(error: Error): void {
    const socket = this.#socket;
    if (socket._hadError || this.#closed) return;
    socket._hadError = true;
    if (socket.listenerCount("error") > 0) socket.emit("error", error);
    emitError(this.#req, error);
  }

  /** The last that happens to a socket that was destroyed: what Node's own listeners on it do then, in their order. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const req = this.#req;
    const socket = this.#socket;
    const res = this.#response?.res ?? null;
    req.destroyed = true;
    socket.emit("close");
    if (res !== null) {
      if (!res.complete) res.destroy(hangUp("aborted", this.#failure));
    } else if (!socket._hadError) {
      socket._hadError = true;
      emitError(req, hangUp("socket hang up", null));
    }
    req._closed = true;
    req.emit("close");
    if (res !== null && !res.aborted && res.readable) res.push(null);
  }

  responseEnded(): void {
    const req = this.#req;
    const socket = this.#socket;
    socket.removeListener("timeout", emitResponseTimeout);
    if (req.timeoutCb !== null) socket.removeListener("timeout", req.timeoutCb);
    req.timeoutCb = null;
    socket.settle();
    req._ended = true;
    if (req.writableFinished && req.res?.aborted !== true) this.release();
    else req.once("finish", () => this.release());
  }

  /** Request and response are complete. */
  release(): void {
    const { res } = this.#req;
    if (this.#closed || res === null) return;
    this.#closed = true;
    this.#req.destroyed = true;
    // As Node does when it returns a connection to its pool: destroying the response now must do nothing.
    res.socket = null;
    process.nextTick(emitClose, this.#req);
  }

  #takeRendered(text: string): void {
    const req = this.#req;
    this.#head = headOfText(text, this.#settings.names);
    req.chunkedEncoding = false;
    req.outputData.length = 0;
    req.outputSize = 0;
    // With `expect` the head has been asked to go out before anything else is known.
    this.#sending = req._headerSent;
  }

  /** On the next tick, so that what is written in this one goes with the head, and no answer comes before the caller listens. */
  #startSoon(): void {
    if (!this.#attached || this.#starting) return;
    this.#starting = true;
    process.nextTick(start, this);
  }

  /** First the error, and when others have reacted to it 'close', as with a socket of the system. */
  #closeSoon(error: Error | null): void {
    this.#socket.settle();
    if (error !== null) process.nextTick(tellError, this, error);
    setImmediate(close, this);
  }

  #closeUnattached(): void {
    const req = this.#req;
    this.exchangeEnded();
    this.#closed = true;
    this.#socket.destroyed = true;
    const error = destroyError(req) ?? (req.aborted ? null : hangUp("socket hang up", null));
    this.#body.destroy(error ?? hangUp("socket hang up", null));
    if (error !== null) emitError(req, error);
    req._closed = true;
    req.emit("close");
  }
}

function attach(seam: RequestSeam): void {
  seam.attach();
}

function start(seam: RequestSeam): void {
  seam.start();
}

function tellError(seam: RequestSeam, error: Error): void {
  seam.tellError(error);
}

function close(seam: RequestSeam): void {
  seam.close();
}

function emitClose(req: RequestInternals): void {
  req._closed = true;
  req.emit("close");
}

function emitDrain(this: RequestInternals): void {
  this.emit("drain");
}

function emitRequestTimeout(this: ClientSocket): void {
  this._httpMessage?.emit("timeout");
}
