import { AsyncResource } from "node:async_hooks";
import { Buffer } from "node:buffer";
import { channel } from "node:diagnostics_channel";
import type { Server } from "node:http";
import type { BodySink, Connection, Exchange, Flow, HeaderCase, HeaderList, Sink } from "../../exchange.js";
import { type ExchangeError, transportError } from "../../exchange-error.js";
import type { DeadlineList, Timed } from "./deadline-list.js";
import { type FacadeOwner, FacadeSocket } from "./facade-socket.js";
import { type NodeRequest, type NodeResponse, needDrainKey, noCallback, type WriteCallback } from "./node-internals.js";
import { type RequestHead, trailerLines } from "./request-head.js";
import type { ResponseHead } from "./response-head.js";
import { installSeam, type SeamOwner, sendInformationalText } from "./response-seam.js";
import { WaitingWrites } from "./waiting-writes.js";

const requestStart = channel("http.server.request.start");
const responseFinish = channel("http.server.response.finish");

/** What all streams of an exit share. */
export interface AppStreamHost {
  readonly server: Server;
  readonly strictValues: boolean;
  readonly headerNames: Map<string, string>;
  readonly inactivity: DeadlineList;
  readonly unfinishedRequests: DeadlineList;
  now(): number;
  makeRequest(socket: FacadeSocket): NodeRequest;
  makeResponse(req: NodeRequest): NodeResponse;
  /** Emits 'request', or what stands for it. */
  emitRequest(req: NodeRequest, res: NodeResponse, expect: string | null): void;
  onStreamEnd(): void;
}

const streamKey = Symbol("selvage.appStream");

interface Marked {
  [streamKey]?: AppStream;
}

/** The stream behind a request or response, if it came through the seam. */
export function streamOf(message: object): AppStream | undefined {
  return (message as Marked)[streamKey];
}

/**
 * One exchange on its way through an application, as genuine `IncomingMessage` and `ServerResponse`.
 *
 * Nothing that an application's listener does or throws gets back into the caller, which may be in the middle of a read:
 * events that answer the application's own calls come on a later tick as with `node:http`, and what a listener throws is
 * thrown again on the next tick, where it is an uncaught exception as it would be there. Each runs in the async context of
 * its own request, whatever else was in the same read.
 */
export class AppStream extends AsyncResource implements Flow, BodySink, FacadeOwner, SeamOwner, Timed {
  readonly x: Exchange;
  readonly socket: FacadeSocket;
  readonly req: NodeRequest;
  readonly res: NodeResponse;
  cut = false;
  deadlineAt = 0;
  earlier: Timed | null = null;
  later: Timed | null = null;
  timed = false;
  private readonly host: AppStreamHost;
  private readonly sink: Sink;
  private readonly expect: string | null;
  private head: ResponseHead | null = null;
  /** The sink got its terminal call. */
  private over = false;
  private paused = false;
  private bodyOver: boolean;
  private bodyPaused = false;
  private dispatching = false;
  private finished = false;
  /** The application has ended a response of which parts still wait. */
  private ending = false;
  private trailers: HeaderList | null = null;
  private remaining = -1;
  private waiting: WaitingWrites | null = null;
  private flushing = false;

  constructor(host: AppStreamHost, x: Exchange, head: RequestHead, sink: Sink) {
    super("HTTPINCOMINGMESSAGE");
    this.host = host;
    this.x = x;
    this.sink = sink;
    this.expect = head.expect;
    this.bodyOver = x.body === null;
    const socket = new FacadeSocket(this);
    this.socket = socket;
    const req = host.makeRequest(socket);
    (req as Marked)[streamKey] = this;
    this.req = req;
    const http10 = x.version === "1.0";
    req.httpVersionMajor = 1;
    req.httpVersionMinor = http10 ? 0 : 1;
    // "2.0" would make Node's own response an HTTP/1.0 one.
    req.httpVersion = http10 ? "1.0" : "1.1";
    req.method = x.method;
    req.url = x.absoluteForm ? `${x.scheme}://${x.authority}${x.path}` : x.path;
    req.upgrade = false;
    const limit = host.server.maxHeadersCount;
    const length = head.lines.length;
    const most = typeof limit === "number" ? limit * 2 : 2000;
    req._addHeaderLines(head.lines, most > 0 && length > most ? most : length);
    const res = host.makeResponse(req);
    (res as Marked)[streamKey] = this;
    this.res = res;
    installSeam(res, this);
    res.socket = socket;
    socket._httpMessage = res;
    res.on("finish", onFinish);
    if (host.server.timeout > 0) socket.setTimeout(host.server.timeout);
  }

  get server(): Server {
    return this.host.server;
  }

  get connection(): Connection | null {
    return this.x.connection;
  }

  get inactivity(): DeadlineList {
    return this.host.inactivity;
  }

  get strictValues(): boolean {
    return this.host.strictValues;
  }

  get headerNames(): Map<string, string> | null {
    return this.x.version === "2.0" ? null : this.host.headerNames;
  }

  get waitingBytes(): number {
    return this.waiting === null ? 0 : this.waiting.bytes;
  }

  now(): number {
    return this.host.now();
  }

  /** Shows the request to the application. */
  start(): void {
    this.x.flow = this;
    this.dispatching = true;
    this.runInAsyncScope(dispatch, this);
  }

  dispatch(): void {
    const { req, res, socket, server } = this;
    if (requestStart.hasSubscribers) requestStart.publish({ request: req, response: res, socket, server });
    try {
      this.host.emitRequest(req, res, this.expect);
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    this.dispatching = false;
    const body = this.x.body;
    if (body === null) {
      if (!this.cut) this.endRequest(null);
    } else if (!this.bodyOver) {
      const timeoutMs = server.requestTimeout;
      if (timeoutMs > 0) {
        this.deadlineAt = this.host.now() + timeoutMs;
        this.host.unfinishedRequests.add(this);
      }
      body.pipe(this);
    }
  }

  // Request body.

  onData(chunk: Uint8Array): void {
    if (this.bodyOver) return;
    this.socket.touch();
    this.runInAsyncScope(deliver, this, chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.bodyOver) return;
    this.bodyOver = true;
    this.host.unfinishedRequests.remove(this);
    this.runInAsyncScope(deliverEnd, this, trailers);
  }

  push(chunk: Uint8Array): void {
    if (this.req._dumped) return;
    if (!this.req.push(chunk) && !this.bodyOver) {
      this.bodyPaused = true;
      this.x.body?.pause();
    }
  }

  endRequest(trailers: HeaderList | null): void {
    const req = this.req;
    req.complete = true;
    if (trailers !== null && trailers.length !== 0) {
      const lines = trailerLines(this.x, trailers);
      req._addHeaderLines(lines, lines.length);
    }
    req.push(null);
  }

  /** The application will read no more: the source need not send the rest. */
  private dropBody(): void {
    if (this.bodyOver) return;
    this.bodyOver = true;
    this.host.unfinishedRequests.remove(this);
    this.x.body?.cancel();
  }

  pauseBody(): void {
    if (this.bodyOver || this.bodyPaused || this.dispatching) return;
    this.bodyPaused = true;
    this.x.body?.pause();
  }

  resumeBody(): void {
    if (!this.bodyPaused) return;
    this.bodyPaused = false;
    if (!this.bodyOver) this.x.body?.resume();
  }

  // Response.

  keepHead(head: ResponseHead): void {
    this.head = head;
  }

  sendInformational(status: number, headers: HeaderList): void {
    if (!this.over && !this.res._headerSent) this.sink.onInformational(status, headers);
  }

  sendHead(): void {
    const head = this.head;
    this.head = null;
    if (this.over || head === null) return;
    const { x, res } = this;
    if (head.status < 200) {
      this.fail("SELVAGE_ERR_PROTOCOL", `the application answered with the status ${head.status}`);
      return;
    }
    this.remaining = head.contentLength;
    x.responseVersion = x.version === "2.0" ? "2.0" : "1.1";
    if (x.version !== "2.0" && this.host.headerNames.size !== 0)
      x.responseHeaderCase = this.host.headerNames as HeaderCase;
    const connection = x.connection;
    if (connection !== null) {
      const asked = !res.shouldKeepAlive && x.version !== "1.0" && (res._sent100 || !res._expect_continue);
      if (asked || head.closes) connection.drain();
    }
    this.sink.onHead(head.status, head.fields);
  }

  sendBody(chunk: Uint8Array, callback: WriteCallback | null): boolean {
    if (this.over) return false;
    const told = callback === noCallback ? null : callback;
    let length = chunk.length;
    if (this.remaining !== -1) {
      if (length > this.remaining) {
        // What is beyond content-length doesn't belong to this response; a client of node:http would not see it either.
        length = this.remaining;
        chunk = chunk.subarray(0, length);
      }
      this.remaining -= length;
    }
    // Whoever is told may use the memory again, long before it is written out.
    if (told !== null && length !== 0) chunk = Buffer.from(chunk);
    if (this.waiting === null && this.paused) this.waiting = new WaitingWrites(0);
    if (this.waiting !== null) {
      this.waiting.add(chunk, told);
      return false;
    }
    this.socket.touch();
    if (length !== 0) this.sink.onData(chunk);
    if (this.cut) return false;
    if (this.paused) {
      this.waiting = new WaitingWrites(length);
      this.waiting.add(null, told);
      return false;
    }
    if (told !== null) process.nextTick(told, null);
    return true;
  }

  sendNothing(callback: WriteCallback): boolean {
    if (callback === noCallback) return this.waiting === null;
    if (this.waiting !== null) {
      this.waiting.add(null, callback);
      return false;
    }
    process.nextTick(callback, null);
    return true;
  }

  sendEnd(trailers: HeaderList | null): void {
    if (this.over) return;
    this.trailers = trailers;
    if (this.waiting === null) this.close();
    else this.ending = true;
  }

  private close(): void {
    if (this.remaining > 0) {
      this.fail("SELVAGE_ERR_RESET", `the application's response lacks ${this.remaining} bytes of its content-length`);
      return;
    }
    this.over = true;
    this.sink.onEnd(this.trailers);
    this.host.onStreamEnd();
  }

  writeRaw(data: string | Uint8Array, callback: WriteCallback | null): boolean {
    if (this.cut) return false;
    const text = typeof data === "string" ? data : Buffer.from(data).toString("latin1");
    if (this.res._headerSent || !sendInformationalText(this, text)) {
      this.socket.destroy(
        new Error("req.socket belongs to one stream of a shared connection: raw bytes can't be written to it"),
      );
      return false;
    }
    if (callback !== null) process.nextTick(callback, null);
    return true;
  }

  // Flow.

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.waiting === null || this.flushing || this.cut) return;
    this.flushing = true;
    process.nextTick(runFlush, this);
  }

  flush(): void {
    this.flushing = false;
    const waiting = this.waiting;
    if (waiting === null || this.cut) return;
    waiting.release();
    while (!this.paused && !waiting.empty) {
      const chunk = waiting.takeChunk();
      if (chunk !== null) {
        this.socket.touch();
        this.sink.onData(chunk);
        if (this.cut) return;
      }
      if (this.paused && chunk !== null) waiting.hold(chunk.length);
      else waiting.call(null);
    }
    if (this.paused) return;
    this.waiting = null;
    if (this.ending) {
      this.close();
      return;
    }
    const res = this.res as NodeResponse & Record<symbol, boolean>;
    if (!res.finished && res[needDrainKey]) {
      res[needDrainKey] = false;
      res.emit("drain");
    }
  }

  abort(reason: ExchangeError): void {
    if (!this.over) this.cutOff(reason);
    // The response is out, but the request will never be complete.
    else if (!this.bodyOver && !this.cut) this.beCut();
  }

  /** The application, or a timeout, has destroyed the request, the response or the facade. */
  onSocketDestroy(error: Error | undefined): void {
    if (!this.over) {
      const message = "the application destroyed the exchange";
      this.cutOff(transportError("SELVAGE_ERR_RESET", message, "peer", "processed", error));
    } else if (!this.cut) this.beCut();
  }

  private fail(code: "SELVAGE_ERR_PROTOCOL" | "SELVAGE_ERR_RESET" | "SELVAGE_ERR_TIMEOUT", message: string): void {
    this.cutOff(transportError(code, message, "peer"));
  }

  private cutOff(reason: ExchangeError): void {
    this.over = true;
    this.socket._hadError = true;
    this.beCut();
    this.sink.onError(reason);
    this.host.onStreamEnd();
  }

  private beCut(): void {
    this.cut = true;
    this.socket.destroyed = true;
    this.host.inactivity.remove(this.socket);
    this.dropBody();
    process.nextTick(runCut, this);
  }

  /** Tells the application that the exchange was cut off, in the order in which `node:http` does. */
  tellCut(): void {
    const { req, res, socket, waiting } = this;
    this.waiting = null;
    waiting?.fail(connectionReset());
    try {
      if (!req.destroyed) req.destroy(connectionReset());
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    try {
      if (!this.finished) emitClose(res);
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    socket.closed = true;
    socket.emit("close", socket._hadError);
  }

  // Time.

  /** The request did not arrive within `server.requestTimeout`. */
  onDeadline(): void {
    if (this.over) {
      this.abort(transportError("SELVAGE_ERR_TIMEOUT", "the request was not complete in time", "caller"));
      return;
    }
    if (!this.res._headerSent) {
      this.res._headerSent = true;
      this.over = true;
      this.beCut();
      this.sink.onHead(408, ["content-length", "0"]);
      this.sink.onEnd(null);
      this.host.onStreamEnd();
      return;
    }
    this.fail("SELVAGE_ERR_TIMEOUT", "the request was not complete in time");
  }

  onSocketTimeout(): void {
    this.runInAsyncScope(timeOut, this);
  }

  timeOut(): void {
    const { req, res, socket } = this;
    socket.emit("timeout");
    const byRequest = !req.complete && req.emit("timeout", socket);
    const byResponse = !this.finished && res.emit("timeout", socket);
    const byServer = this.server.emit("timeout", socket as never);
    if (byRequest || byResponse || byServer || this.cut) return;
    if (this.over) socket.destroy();
    else this.fail("SELVAGE_ERR_TIMEOUT", "the application took longer than its timeout");
  }

  /** What Node's server does when a response is finished. */
  afterFinish(): void {
    const { req, res, socket, server } = this;
    this.finished = true;
    if (responseFinish.hasSubscribers) responseFinish.publish({ request: req, response: res, socket, server });
    this.host.inactivity.remove(socket);
    if (!req._consuming && !req._readableState.resumeScheduled) {
      if (req.complete && req._eventsCount === 0 && req.readableLength === 0) closeUnheard(req);
      else req._dump();
      if (!this.bodyOver) {
        this.dropBody();
        if (!req.destroyed) this.endRequest(null);
      }
    }
    socket._httpMessage = null;
    res.socket = null;
    process.nextTick(emitClose, res);
  }
}

function dispatch(this: AppStream): void {
  this.dispatch();
}

function deliver(this: AppStream, chunk: Uint8Array): void {
  try {
    this.push(chunk);
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}

function deliverEnd(this: AppStream, trailers: HeaderList | null): void {
  try {
    this.endRequest(trailers);
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}

function timeOut(this: AppStream): void {
  try {
    this.timeOut();
  } catch (error) {
    process.nextTick(rethrow, error);
  }
}

function flush(this: AppStream): void {
  this.flush();
}

function runFlush(stream: AppStream): void {
  stream.runInAsyncScope(flush, stream);
}

function tellCut(this: AppStream): void {
  this.tellCut();
}

function runCut(stream: AppStream): void {
  stream.runInAsyncScope(tellCut, stream);
}

function onFinish(this: NodeResponse): void {
  streamOf(this)?.afterFinish();
}

function emitClose(res: NodeResponse): void {
  if (res._closed) return;
  res.destroyed = true;
  res._closed = true;
  res.emit("close");
}

/**
 * Leaves a request that nobody has read as it would be after its 'end' and 'close', without the ticks that it takes to emit
 * these to nobody: a quarter of the price of a request.
 */
function closeUnheard(req: NodeRequest): void {
  const state = req._readableState;
  req._dumped = true;
  state.ended = true;
  state.endEmitted = true;
  state.destroyed = true;
  state.closed = true;
  state.closeEmitted = true;
}

function rethrow(error: unknown): never {
  throw error;
}

/** What `node:http` gives to a request whose client went away. */
function connectionReset(): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new Error("aborted");
  Error.stackTraceLimit = limit;
  return Object.assign(error, { code: "ECONNRESET" });
}
