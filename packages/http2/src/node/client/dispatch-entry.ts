import { Exchange, type Service } from "../../exchange.js";
import { ActiveCalls } from "./active-calls.js";
import { makeBody } from "./body-source.js";
import { CallbackCall } from "./callback-call.js";
import { ControllerCall } from "./controller-call.js";
import type { DispatchCall, DispatchSettings } from "./dispatch-call.js";
import { DispatchError, invalidArgument } from "./dispatch-error.js";
import { type DispatchHandler, isControllerHandler } from "./dispatch-handler.js";
import { type DispatchRequest, readUpgrade, setTarget } from "./dispatch-request.js";
import { HeaderNames } from "./header-names.js";
import { Origins } from "./origin.js";
import { type HeadersInput, RequestHead } from "./request-head.js";
import { sharedTimeouts, type Timeouts } from "./timeouts.js";
import { TunnelBody } from "./tunnel.js";

/** Options of {@link DispatchEntry}. */
export interface DispatchOptions {
  /** Makes the exchange of each request. @defaultValue makes an `Exchange` */
  readonly newExchange?: () => Exchange;
  /** Milliseconds to wait for a response head, unless the request says otherwise. 0 is for ever. @defaultValue 300_000 */
  readonly headersTimeoutMs?: number;
  /** Milliseconds to wait for a part of a response's body, unless the request says otherwise. 0 is for ever. @defaultValue 300_000 */
  readonly bodyTimeoutMs?: number;
  /** Whose timers are used. @defaultValue those of the process */
  readonly timeouts?: Timeouts;
}

/** The values of {@link DispatchOptions} that aren't given. */
export const dispatchDefaults = Object.freeze({ headersTimeoutMs: 300_000, bodyTimeoutMs: 300_000 });

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const methodsWithBody = new Set(["POST", "PUT", "PATCH", "QUERY", "PROPFIND", "PROPPATCH"]);

/**
 * Lets requests that are described as for undici's `dispatch` into a service, without loading undici. It takes handlers
 * of both of undici's dialects, so that `fetch` of any Node and undici 6, 7 and 8 can send through it.
 */
export class DispatchEntry {
  readonly #service: Service;
  readonly #newExchange: () => Exchange;
  readonly #settings: DispatchSettings;
  readonly #origins = new Origins();
  readonly #names = new HeaderNames();
  #closed: DispatchError | null = null;

  constructor(service: Service, options: DispatchOptions = {}) {
    this.#service = service;
    this.#newExchange = options.newExchange ?? newExchange;
    this.#settings = Object.freeze({
      headersTimeoutMs: checkTimeout("headersTimeoutMs", options.headersTimeoutMs) ?? dispatchDefaults.headersTimeoutMs,
      bodyTimeoutMs: checkTimeout("bodyTimeoutMs", options.bodyTimeoutMs) ?? dispatchDefaults.bodyTimeoutMs,
      timeouts: options.timeouts ?? sharedTimeouts,
      active: new ActiveCalls(),
    });
  }

  get closed(): boolean {
    return this.#closed !== null;
  }

  /**
   * Sends one request. What goes wrong is told to the handler; only a handler that can't be told is an exception.
   * `false` says that the request was refused as it stands.
   */
  dispatch(request: DispatchRequest, handler: DispatchHandler): boolean {
    checkHandler(handler);
    const x = this.#newExchange();
    const call: DispatchCall = isControllerHandler(handler)
      ? new ControllerCall(x, this.#settings, handler)
      : new CallbackCall(x, this.#settings, handler);
    try {
      if (this.#closed !== null) throw this.#closed;
      this.#prepare(x, call, request, handler);
    } catch (error) {
      call.refuse(error as Error);
      return false;
    }
    call.start(this.#service);
    return true;
  }

  /** Takes no more requests. `onClosed` is called when those in flight have ended. */
  close(onClosed: () => void): void {
    this.#closed ??= new DispatchError("UND_ERR_CLOSED", "The client is closed");
    const { active } = this.#settings;
    if (active.idle) {
      queueMicrotask(onClosed);
      return;
    }
    const before = active.onIdle;
    active.onIdle = () => {
      before?.();
      onClosed();
      active.onIdle = null;
    };
  }

  /** Takes no more requests, and aborts those in flight with the reason. */
  destroy(reason?: Error | null): void {
    const error = new DispatchError("UND_ERR_DESTROYED", "The client is destroyed");
    this.#closed = error;
    this.#settings.active.abortAll(reason ?? error);
  }

  #prepare(x: Exchange, call: DispatchCall, request: DispatchRequest, handler: DispatchHandler): void {
    if (typeof request !== "object" || request === null) throw invalidArgument("opts must be an object.");
    call.headersTimeoutMs = checkTimeout("headersTimeout", request.headersTimeout) ?? call.headersTimeoutMs;
    call.bodyTimeoutMs = checkTimeout("bodyTimeout", request.bodyTimeout) ?? call.bodyTimeoutMs;
    const method = request.method ?? "GET";
    if (typeof method !== "string" || !token.test(method)) throw invalidArgument("invalid request method");
    x.method = method;
    x.version = "1.1";
    const upgrade = readUpgrade(request.upgrade);
    const tunnel = upgrade !== null || method === "CONNECT";
    checkMethods(handler, tunnel);
    const origin = this.#origins.of(request.origin);
    x.scheme = origin.scheme;
    x.authority = origin.authority;
    setTarget(x, request, this.#origins);

    const head = new RequestHead(this.#names);
    head.read(request.headers as HeadersInput);
    // An absolute-form target overrides Host (RFC 9112, section 3.2.2).
    if (head.host !== null && !x.absoluteForm && method !== "CONNECT") x.authority = head.host;
    const headers: string[] = ["host", x.authority];
    if (tunnel) {
      if (upgrade !== null) headers.push("connection", "upgrade", "upgrade", upgrade);
      x.tunnel = true;
      call.tunnelBody = new TunnelBody();
    } else {
      const body = makeBody(call, request.body, head);
      if (body !== null) {
        call.body = body;
        if (body.length >= 0) headers.push("content-length", String(body.length));
      } else if (methodsWithBody.has(method)) headers.push("content-length", "0");
      if (head.acceptsTrailers) headers.push("te", "trailers");
    }
    for (let i = 0; i < head.list.length; i++) headers.push(head.list[i]!);
    x.headers = headers;
    x.headerCase = this.#names.headerCase;
  }
}

function newExchange(): Exchange {
  return new Exchange();
}

function checkTimeout(name: string, value: number | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  if (!Number.isFinite(value) || value < 0) throw invalidArgument(`invalid ${name}`);
  return value;
}

function checkHandler(handler: DispatchHandler): void {
  if (typeof handler !== "object" || handler === null) throw invalidArgument("handler must be an object");
  if (!isControllerHandler(handler) && typeof handler.onError !== "function") {
    throw invalidArgument("invalid onError method");
  }
}

/** A handler that lacks what will be called is a bug better told now than when the response is there. */
function checkMethods(handler: DispatchHandler, tunnel: boolean): void {
  const methods = handler as unknown as Record<string, unknown>;
  let needed: readonly string[];
  if (isControllerHandler(handler)) needed = tunnel ? ["onRequestUpgrade"] : [];
  else needed = tunnel ? ["onConnect", "onUpgrade"] : ["onConnect", "onHeaders", "onData", "onComplete"];
  for (const name of needed) if (typeof methods[name] !== "function") throw invalidArgument(`invalid ${name} method`);
}
