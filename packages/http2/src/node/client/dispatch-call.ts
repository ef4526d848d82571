import { STATUS_CODES } from "node:http";
import type { Body, Exchange, HeaderList, Service, Sink } from "../../exchange.js";
import { type ExchangeError, transportError } from "../../exchange-error.js";
import type { ActiveCall, ActiveCalls } from "./active-calls.js";
import { DispatchError } from "./dispatch-error.js";
import type { BodyOwner, RequestBody } from "./request-body.js";
import { Timed, type Timeouts } from "./timeouts.js";
import { type TunnelBody, TunnelSocket } from "./tunnel.js";

/** What all requests of one dispatcher share. */
export interface DispatchSettings {
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly timeouts: Timeouts;
  readonly active: ActiveCalls;
}

/**
 * One request of a dispatcher: the sink of its exchange, and the owner of its body. The subclasses speak the two
 * dialects of handlers.
 */
export abstract class DispatchCall extends Timed implements Sink, BodyOwner, ActiveCall {
  activePrevious: ActiveCall | null = null;
  activeNext: ActiveCall | null = null;
  headersTimeoutMs: number;
  bodyTimeoutMs: number;
  aborted = false;
  paused = false;
  reason: Error | null = null;
  protected readonly x: Exchange;
  readonly #settings: DispatchSettings;
  #body: RequestBody | null = null;
  #tunnelBody: TunnelBody | null = null;
  #tunnel: TunnelSocket | null = null;
  #called = false;
  #informing = false;
  #responding = false;
  /** The handler has had its last call. */
  #done = false;

  constructor(x: Exchange, settings: DispatchSettings) {
    super();
    this.x = x;
    this.#settings = settings;
    this.headersTimeoutMs = settings.headersTimeoutMs;
    this.bodyTimeoutMs = settings.bodyTimeoutMs;
  }

  protected abstract tellStart(): void;
  protected abstract tellHead(status: number, headers: HeaderList, statusText: string): void;
  protected abstract tellData(chunk: Buffer): void;
  protected abstract tellEnd(trailers: HeaderList): void;
  protected abstract tellUpgrade(status: number, headers: HeaderList, socket: TunnelSocket): void;
  protected abstract tellError(error: Error): void;
  protected abstract tellChunkSent(chunk: Uint8Array): void;
  protected abstract tellSent(): void;

  set body(body: RequestBody | null) {
    this.#body = body;
    this.x.body = body;
  }

  set tunnelBody(body: TunnelBody) {
    this.#tunnelBody = body;
    this.x.body = body as Body;
  }

  /** Starts the request. The handler may abort it before it is sent. */
  start(service: Service): void {
    if (this.#done) return;
    this.#settings.active.add(this);
    try {
      this.tellStart();
    } catch (error) {
      this.abort(error as Error);
    }
    if (this.#done) return;
    this.#called = true;
    this.#settings.timeouts.start(this, this.headersTimeoutMs);
    service.call(this.x, this);
  }

  /** Ends the request before it was started. */
  refuse(error: Error): void {
    this.#finish(error, null);
  }

  abort(reason?: Error): void {
    if (this.#done) return;
    this.aborted = true;
    this.reason = reason ?? new DispatchError("UND_ERR_ABORTED", "Request aborted");
    this.#finish(this.reason, callerAborted(this.reason));
  }

  pause(): void {
    // The fetch of Node answers `false` to 1xx heads, and means nothing by it.
    if (this.paused || this.#done || this.#informing) return;
    this.paused = true;
    if (this.#responding) this.#settings.timeouts.stop(this);
    this.x.flow.pause();
  }

  resume(): void {
    if (!this.paused || this.#done) return;
    this.paused = false;
    if (this.#responding) this.#settings.timeouts.start(this, this.bodyTimeoutMs);
    this.x.flow.resume();
  }

  onInformational(status: number, headers: HeaderList): void {
    if (this.#done) return;
    this.#settings.timeouts.refresh(this);
    this.#informing = true;
    try {
      this.tellHead(status, headers, STATUS_CODES[status] ?? "");
    } catch (error) {
      this.abort(error as Error);
    }
    this.#informing = false;
  }

  onHead(status: number, headers: HeaderList): void {
    if (this.#done) return;
    try {
      if (this.#tunnelBody !== null && (status === 101 || this.x.method === "CONNECT")) {
        this.#openTunnel(this.#tunnelBody, status, headers);
        return;
      }
      this.#responding = true;
      this.#settings.timeouts.start(this, this.bodyTimeoutMs);
      this.tellHead(status, headers, STATUS_CODES[status] ?? "");
    } catch (error) {
      this.abort(error as Error);
    }
  }

  onData(chunk: Uint8Array): void {
    if (this.#tunnel !== null) {
      this.#tunnel.receive(chunk);
      return;
    }
    if (this.#done) return;
    if (!this.paused) this.#settings.timeouts.refresh(this);
    try {
      this.tellData(
        Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.byteLength),
      );
    } catch (error) {
      this.abort(error as Error);
    }
  }

  onEnd(trailers: HeaderList | null): void {
    if (this.#tunnel !== null) {
      this.#tunnel.receiveEnd();
      return;
    }
    if (this.#done) return;
    this.#release(null);
    try {
      this.tellEnd(trailers ?? []);
    } catch (error) {
      this.#report(error as Error);
    }
  }

  onError(error: ExchangeError): void {
    if (this.#tunnel !== null) this.#tunnel.fail(error);
    else if (!this.#responding) this.#finish(error, null);
    else if (!this.#done) {
      this.#release(error);
      // A fetch takes a few microtasks to listen for the end of a body: told in the same turn as the head, it would wait for ever.
      setImmediate(() => this.#report(error));
    }
  }

  bodyFailed(error: unknown): void {
    const reason = error instanceof Error ? error : new DispatchError("UND_ERR_ABORTED", String(error), error);
    if (!this.#done) this.abort(reason);
    // The response is complete, yet the peer still waits for the rest of the request.
    else if (this.#called) this.x.flow.abort(callerAborted(reason));
  }

  bodyChunkSent(chunk: Uint8Array): void {
    if (this.#done) return;
    if (!this.#responding) this.#settings.timeouts.refresh(this);
    try {
      this.tellChunkSent(chunk);
    } catch (error) {
      this.abort(error as Error);
    }
  }

  bodySent(): void {
    if (this.#done) return;
    try {
      this.tellSent();
    } catch (error) {
      this.abort(error as Error);
    }
  }

  override onTimeout(): void {
    const error = this.#responding
      ? new DispatchError("UND_ERR_BODY_TIMEOUT", "Body Timeout Error")
      : new DispatchError("UND_ERR_HEADERS_TIMEOUT", "Headers Timeout Error");
    this.#finish(error, transportError("SELVAGE_ERR_TIMEOUT", error.message, "caller", "processed", error));
  }

  #openTunnel(body: TunnelBody, status: number, headers: HeaderList): void {
    const socket = new TunnelSocket(this.x, body);
    this.#tunnel = socket;
    // A refused CONNECT has a response body to read, and nobody to write to.
    if (status >= 300) body.cancel();
    this.#release(null);
    try {
      this.tellUpgrade(status, headers, socket);
    } catch (error) {
      socket.destroy();
      this.#report(error as Error);
    }
  }

  /** The last step of every failed request. `abortion` is given to the exchange, if there is something to end. */
  #finish(error: Error, abortion: ExchangeError | null): void {
    if (this.#done) return;
    this.#release(error);
    if (abortion !== null && this.#called) this.x.flow.abort(abortion);
    this.#report(error);
  }

  #release(error: Error | null): void {
    this.#done = true;
    this.#settings.timeouts.stop(this);
    this.#settings.active.remove(this);
    // After a complete response the transport decides about the rest of the body: it may still be wanted.
    if (error !== null) this.#body?.destroy(error);
  }

  #report(error: Error): void {
    try {
      this.tellError(error);
    } catch (thrown) {
      // A bug of the application, which must not unwind through the transport.
      queueMicrotask(() => {
        throw thrown;
      });
    }
  }
}

function callerAborted(reason: unknown): ExchangeError {
  return transportError("SELVAGE_ERR_ABORTED", "the caller aborted the request", "caller", "processed", reason);
}
