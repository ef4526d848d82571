import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { type Context, context } from "@opentelemetry/api";
import type { ExchangeError, HeaderList, Sink } from "@selvage/http2";
import { MeshExchange } from "../exchange.js";
import { parseGrpcTimeout } from "../layers/grpc-timeout.js";
import { headerValue, isGrpcRequest } from "../telemetry/classification.js";
import type { ServedExit } from "./serve-http.js";

const never = Number.POSITIVE_INFINITY;
const scopes = new AsyncLocalStorage<RequestScope | undefined>();
/** Whether this process calls others at all. */
let calls = false;
// Made where no request is being handled.
const outside = new AsyncResource("SELVAGE_MESH");

/**
 * Ties what an application does for an inbound exchange to it: calls that it makes meanwhile end with the exchange's deadline
 * (`x.deadlineAt`, `grpc-timeout`) at the latest, and belong to its trace. Work that goes on after the exchange is over is
 * free of its deadline, so that what a request happened to start first (a refresh, a pool) does not die with it.
 *
 * What Node charges for following asynchronous work is only paid from the first exchange on that has a deadline, and only by
 * processes that call others.
 */
export class RequestContextExit implements ServedExit {
  readonly #inner: ServedExit;

  constructor(inner: ServedExit) {
    this.#inner = inner;
  }

  get active(): number {
    return this.#inner.active;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (isGrpcRequest(x.method, x.headers)) shortenByGrpcTimeout(x);
    if (x.traceContext === null) inScope(x, sink, this.#inner);
    else context.with(x.traceContext as Context, inScope, undefined, x, sink, this.#inner);
  }
}

/** To be said when an outbound entry is given away: exchanges that come from now on are followed. */
export function followRequests(): void {
  calls = true;
}

/** For outbound entries: an exchange that ends with the inbound one on whose behalf it is made. */
export function newOutboundExchange(): MeshExchange {
  const x = new MeshExchange("outbound");
  const scope = scopes.getStore();
  if (scope !== undefined) x.deadlineAt = scope.deadlineAt;
  return x;
}

/** For what outlives the request in which it happens to be started, as connections do: nothing in it belongs to a request. */
export function outsideRequests<T>(action: () => T): T {
  return outside.runInAsyncScope(action);
}

function shortenByGrpcTimeout(x: MeshExchange): void {
  const value = headerValue(x.headers, "grpc-timeout");
  const ms = value === null ? -1 : parseGrpcTimeout(value);
  if (ms >= 0) x.deadlineAt = Math.min(x.deadlineAt, x.startedAt + ms);
}

function inScope(x: MeshExchange, sink: Sink, exit: ServedExit): void {
  if (!calls) exit.call(x, sink);
  else if (x.deadlineAt !== never) {
    const scope = new RequestScope(x.deadlineAt, sink);
    scopes.run(scope, call, x, scope, exit);
  } else if (scopes.getStore() === undefined) {
    exit.call(x, sink);
  } else {
    // It came in while another was being handled: the deadline is not for it.
    scopes.run(undefined, call, x, sink, exit);
  }
}

function call(x: MeshExchange, sink: Sink, exit: ServedExit): void {
  exit.call(x, sink);
}

/** The deadline of an exchange for as long as it lasts: whatever was started in it may keep this, but nothing else of it. */
class RequestScope implements Sink {
  deadlineAt: number;
  #next: Sink | null;

  constructor(deadlineAt: number, next: Sink) {
    this.deadlineAt = deadlineAt;
    this.#next = next;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next?.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#next?.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next?.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    const next = this.#next;
    this.deadlineAt = never;
    this.#next = null;
    next?.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    const next = this.#next;
    this.deadlineAt = never;
    this.#next = null;
    next?.onError(error);
  }
}
