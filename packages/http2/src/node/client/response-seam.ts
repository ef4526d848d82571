import type { AsyncResource } from "node:async_hooks";
import { channel } from "node:diagnostics_channel";
import type { Exchange, HeaderList, Sink } from "../../exchange.js";
import { type ExchangeError, transportError } from "../../exchange-error.js";
import type { RequestInternals, ResponseInternals } from "./client-internals.js";
import type { ClientSocket } from "./client-socket.js";
import { informationOf, makeResponse } from "./incoming-response.js";
import { seamOf } from "./request-methods.js";
import { type TunnelBody, TunnelSocket } from "./tunnel.js";

const finishChannel = channel("http.client.response.finish");

/** The request that a response belongs to. */
export interface ResponseOwner {
  /** The exchange is complete, or has become a tunnel. */
  exchangeEnded(): void;
  exchangeFailed(error: ExchangeError): void;
  /** The socket is no longer the request's: a tunnel has its place. */
  tunnelOpened(): void;
}

/** The response half of a request: the sink that makes Node's events and an IncomingMessage of what a service answers. */
export class ResponseSeam implements Sink {
  readonly x: Exchange;
  res: ResponseInternals | null = null;
  /** The exchange has ended, one way or the other. */
  over = false;
  readonly #owner: ResponseOwner;
  readonly #req: RequestInternals;
  readonly #socket: ClientSocket;
  readonly #scope: AsyncResource;
  readonly #tunnelBody: TunnelBody | null;
  #tunnel: TunnelSocket | null = null;
  #paused = false;

  /** Callbacks of the application run in `scope`, which is that of the request. */
  constructor(
    owner: ResponseOwner,
    x: Exchange,
    req: RequestInternals,
    socket: ClientSocket,
    scope: AsyncResource,
    tunnelBody: TunnelBody | null,
  ) {
    this.#owner = owner;
    this.x = x;
    this.#req = req;
    this.#socket = socket;
    this.#scope = scope;
    this.#tunnelBody = tunnelBody;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#run(this.#inform, status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#run(this.#respond, status, headers);
  }

  onData(chunk: Uint8Array): void {
    if (this.#tunnel !== null) this.#tunnel.receive(chunk);
    else this.#run(this.#receive, chunk, undefined);
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.#tunnel !== null) this.#tunnel.receiveEnd();
    else this.#run(this.#complete, trailers, undefined);
  }

  onError(error: ExchangeError): void {
    if (this.#tunnel !== null) {
      this.#tunnel.fail(error);
    } else if (!this.over) {
      this.over = true;
      this.#owner.exchangeFailed(error);
    }
  }

  /** The application gives the request up. */
  abort(reason: Error | null): void {
    if (this.over) return;
    this.over = true;
    this.x.flow.abort(
      transportError(
        "SELVAGE_ERR_ABORTED",
        "the caller destroyed the request",
        "caller",
        "processed",
        reason ?? undefined,
      ),
    );
  }

  pause(): void {
    if (this.#paused || this.over) return;
    this.#paused = true;
    this.x.flow.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (!this.over) this.x.flow.resume();
  }

  #run<A, B>(action: (this: ResponseSeam, a: A, b: B) => void, a: A, b: B): void {
    if (!this.over) runInScope(this.#scope, action, this, a, b);
  }

  #inform(status: number, headers: HeaderList): void {
    const req = this.#req;
    this.#socket.touch();
    if (status === 100) req.emit("continue");
    if (req.listenerCount("information") === 0) return;
    req.emit("information", informationOf(makeResponse(this.x, req, this.#socket, status, headers)) as never);
  }

  #respond(status: number, headers: HeaderList): void {
    const req = this.#req;
    const res = makeResponse(this.x, req, this.#socket, status, headers);
    this.#socket.touch();
    this.res = res;
    req.res = res;
    if (this.#tunnelBody !== null && (status === 101 || req.method === "CONNECT")) {
      this.#openTunnel(this.#tunnelBody, res);
      return;
    }
    if (finishChannel.hasSubscribers) finishChannel.publish({ request: req, response: res });
    res.on("end", onResponseEnd);
    this.#socket.on("timeout", emitResponseTimeout);
    if (req.aborted || !req.emit("response", res as never)) res._dump();
  }

  #openTunnel(body: TunnelBody, res: ResponseInternals): void {
    const req = this.#req;
    const event = req.method === "CONNECT" ? "connect" : "upgrade";
    res.complete = true;
    if (req.listenerCount(event) === 0) {
      this.#socket.destroy();
      return;
    }
    const tunnel = new TunnelSocket(this.x, body);
    this.#tunnel = tunnel;
    this.over = true;
    this.#owner.tunnelOpened();
    // A refused CONNECT has a response body to read, and nobody to write to.
    if (res.statusCode! >= 300) body.cancel();
    res.upgrade = true;
    res.socket = tunnel;
    req.socket = tunnel;
    req.upgradeOrConnect = true;
    req.emit(event, res as never, tunnel as never, Buffer.alloc(0));
    req.destroyed = true;
    req._closed = true;
    req.emit("close");
  }

  #receive(chunk: Uint8Array): void {
    const { res } = this;
    this.#socket.touch();
    if (res === null || res._dumped || res.destroyed) return;
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength);
    if (!res.push(bytes)) this.pause();
  }

  #complete(trailers: HeaderList | null): void {
    const { res } = this;
    this.over = true;
    this.#owner.exchangeEnded();
    if (res === null) return;
    res.complete = true;
    if (trailers !== null && trailers.length > 0) res._addHeaderLines(trailers.slice(), trailers.length);
    res.push(null);
  }
}

/** Runs application code in the context of its request, and keeps what it throws out of the transport. */
export function runInScope<T, A, B>(
  scope: AsyncResource,
  action: (this: T, a: A, b: B) => void,
  self: T,
  a: A,
  b: B,
): void {
  try {
    scope.runInAsyncScope(action, self, a, b);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function onResponseEnd(this: ResponseInternals): void {
  seamOf(this.req).responseEnded();
}

export function emitResponseTimeout(this: ClientSocket): void {
  this._httpMessage?.res?.emit("timeout");
}
