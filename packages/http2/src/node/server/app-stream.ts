import { AsyncResource } from "node:async_hooks";
import { Buffer } from "node:buffer";
import { channel } from "node:diagnostics_channel";
import type { Connection, Exchange, Flow, HeaderCase, HeaderList, Sink } from "../../exchange.js";
import { type ExchangeError, transportError } from "../../exchange-error.js";
import type { AppStreamHost } from "./app-stream-host.js";
import { markExchange } from "./exchange-of.js";
import { type FacadeOwner, FacadeSocket } from "./facade-socket.js";
import { closeBoth, closeResponse, connectionReset, isUnheard, rethrow } from "./message-close.js";
import { type NodeRequest, type NodeResponse, needDrainKey, type WriteCallback } from "./node-internals.js";
import { type BodyOwner, endRequest, RequestBody } from "./request-body.js";
import type { RequestHead } from "./request-head.js";
import type { ResponseHead } from "./response-head.js";
import { installSeam, type SeamOwner, sendInformationalText } from "./response-seam.js";
import { WaitingWrites } from "./waiting-writes.js";

const requestStart = channel("http.server.request.start");
const responseFinish = channel("http.server.response.finish");

/**
 * One exchange on its way through an application, as genuine `IncomingMessage` and `ServerResponse`.
 *
 * Nothing that an application's listener does or throws gets back into the caller, which may be in the middle of a read:
 * events that answer the application's own calls come on a later tick as with `node:http`, and what a listener throws is
 * thrown again on the next tick, where it is an uncaught exception as it would be there. Each runs in the async context of
 * its own request, whatever else was in the same read.
 */
export class AppStream extends AsyncResource implements Flow, BodyOwner, FacadeOwner, SeamOwner {
  readonly host: AppStreamHost;
  readonly x: Exchange;
  readonly socket: FacadeSocket;
  readonly req: NodeRequest;
  readonly res: NodeResponse;
  cut = false;
  private byApplication = false;
  private readonly sink: Sink;
  private readonly expect: string | null;
  private head: ResponseHead | null = null;
  /** The sink got its terminal call. */
  private over = false;
  private paused = false;
  private readonly body: RequestBody | null;
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
    this.body = x.body === null ? null : new RequestBody(this, x.body);
    const socket = new FacadeSocket(this);
    this.socket = socket;
    const req = host.makeRequest(x, head, socket);
    markExchange(req, x);
    this.req = req;
    const res = host.makeResponse(req);
    this.res = res;
    installSeam(res, this);
    res.socket = socket;
    socket._httpMessage = res;
    if (host.server.timeout > 0) socket.setTimeout(host.server.timeout);
  }

  get connection(): Connection | null {
    return this.x.connection;
  }

  get headerNames(): Map<string, string> | null {
    return this.x.version === "2.0" ? null : this.host.headerNames;
  }

  get waitingBytes(): number {
    return this.waiting === null ? 0 : this.waiting.bytes;
  }

  /** Shows the request to the application. */
  start(): void {
    this.x.flow = this;
    this.runInAsyncScope(dispatch, this);
  }

  dispatch(): void {
    const { req, res, socket } = this;
    const { server, announced } = this.host;
    if (announced && requestStart.hasSubscribers) requestStart.publish({ request: req, response: res, socket, server });
    try {
      this.host.emitRequest(req, res, this.expect);
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    if (this.body === null) endRequest(this.x, req, null);
    else this.body.start(server.requestTimeout > 0 ? this.host.now() + server.requestTimeout : 0);
  }

  pauseBody(): void {
    this.body?.pause();
  }

  resumeBody(): void {
    this.body?.resume();
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

  sendBody(chunk: Uint8Array, told: WriteCallback | null): boolean {
    if (this.over) return false;
    let length = chunk.length;
    if (this.remaining !== -1) {
      if (length > this.remaining) {
        // What is beyond content-length doesn't belong to this response; a client of node:http would not see it either.
        length = this.remaining;
        chunk = chunk.subarray(0, length);
      }
      this.remaining -= length;
    }
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
    else if (this.body !== null && !this.body.over && !this.cut) this.beCut();
  }

  /** The application, or a timeout, has destroyed the request, the response or the facade. */
  onSocketDestroy(error: Error | undefined): void {
    if (!this.over) {
      const message = "the application destroyed the exchange";
      this.byApplication = true;
      this.cutOff(transportError("SELVAGE_ERR_RESET", message, "peer", "processed", error));
    } else if (!this.cut) {
      this.byApplication = true;
      this.beCut();
    }
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
    this.socket.closed = true;
    this.host.inactivity.remove(this.socket);
    this.body?.drop();
    // A socket that is destroyed closes in a later phase of the loop; one that was lost has closed.
    if (this.byApplication) setImmediate(runCut, this);
    else process.nextTick(runCut, this);
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
      if (!this.finished) closeResponse(res);
    } catch (error) {
      process.nextTick(rethrow, error);
    }
    socket.emit("close", socket._hadError);
  }

  // Time.

  /** The request did not arrive within `server.requestTimeout`. */
  onRequestTimeout(): void {
    if (this.over) {
      this.beCut();
      return;
    }
    // Over HTTP/2 both directions may flow for as long as they like, and node:http2 has no such timeout.
    if (this.res._headerSent && this.x.version === "2.0") return;
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
    const byServer = this.host.server.emit("timeout", socket as never);
    if (byRequest || byResponse || byServer || this.cut) return;
    if (this.over) socket.destroy();
    else this.fail("SELVAGE_ERR_TIMEOUT", "the application took longer than its timeout");
  }

  /** What Node's server does when a response is finished. */
  afterFinish(): void {
    const { req, res, socket } = this;
    const { server, announced } = this.host;
    this.finished = true;
    if (announced && responseFinish.hasSubscribers)
      responseFinish.publish({ request: req, response: res, socket, server });
    this.host.inactivity.remove(socket);
    if (!req._consuming && !req._readableState.resumeScheduled) {
      if (!isUnheard(req)) req._dump();
      if (this.body !== null && !this.body.over) {
        this.body.drop();
        if (!req.destroyed) endRequest(this.x, req, null);
      }
    }
    socket._httpMessage = null;
    res.socket = null;
    process.nextTick(closeBoth, req, res);
  }
}

function dispatch(this: AppStream): void {
  this.dispatch();
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
