import type { Duplex } from "node:stream";
import type { Exchange, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { Sweep } from "../sweep.js";
import type { Connect } from "./connect.js";
import { ConnectBackoff } from "./connect-backoff.js";
import type { EndpointClientConfig, EndpointState } from "./endpoint-client-options.js";
import { IdleStack } from "./idle-stack.js";
import { Lifetime } from "./lifetime.js";
import { connectTimeoutError } from "./node-error.js";
import { PooledConnection, type PooledConnectionListener } from "./pooled-connection.js";
import { Waiter, WaiterQueue } from "./waiter-queue.js";

const granularityMs = 20;

/** One attempt to connect. */
interface Attempt {
  cancel: (() => void) | null;
  readonly endsAt: number;
}

/**
 * The HTTP/1 connections to one endpoint. The one that was used last is used next, so that the others get idle and end.
 * HTTP/1.0, and requests without an authority, get a connection of their own, which ends after them (as linkerd does). No
 * request is ever sent twice: what happens to one on a connection that the peer was just closing is for a retry to judge.
 */
export class Http1Pool implements Service, PooledConnectionListener {
  readonly #config: EndpointClientConfig;
  readonly #connect: Connect;
  readonly #onChange: () => void;
  readonly #waiting = new WaiterQueue();
  readonly #waitingAlone = new WaiterQueue();
  readonly #backoff: ConnectBackoff;
  readonly #sweep: Sweep;
  readonly #idle = new IdleStack();
  readonly #attempts: Attempt[] = [];
  #first: PooledConnection | null = null;
  #count = 0;
  #refreshedAt = 0;
  #closing = false;

  constructor(config: EndpointClientConfig, connect: Connect, onChange: () => void) {
    this.#config = config;
    this.#connect = connect;
    this.#onChange = onChange;
    this.#backoff = new ConnectBackoff(config.backoff, config.random);
    this.#sweep = new Sweep(config.clock, granularityMs, (now) => this.#visit(now));
  }

  /** Exchanges that are on a connection. */
  get active(): number {
    return this.#count - this.#idle.size;
  }

  get pending(): number {
    return this.#waiting.size + this.#waitingAlone.size;
  }

  get state(): EndpointState {
    if (this.#count > 0) return "ready";
    if (this.#attempts.length > 0) return "connecting";
    return this.#backoff.lastError === null ? "idle" : "failing";
  }

  get lastError(): ExchangeError | null {
    return this.#backoff.lastError;
  }

  get empty(): boolean {
    return this.#count === 0 && this.#attempts.length === 0;
  }

  call(x: Exchange, sink: Sink): void {
    const alone = x.version === "1.0" || x.authority === "";
    if (!alone) {
      const c = this.#idle.pop();
      if (c !== null) {
        c.call(x, sink);
        return;
      }
    }
    this.#wait(x, sink, alone ? this.#waitingAlone : this.#waiting);
  }

  warm(): void {
    if (this.#count === 0 && this.#attempts.length === 0) this.#dial();
  }

  refresh(): void {
    this.#refreshedAt = this.#config.clock.now();
    // It may have been what was shown before that was refused.
    this.#backoff.reset();
    for (const attempt of this.#attempts.splice(0)) attempt.cancel?.();
    for (let c = this.#first; c !== null; ) {
      // An idle one leaves the list at once.
      const following: PooledConnection | null = c.next;
      this.#retire(c);
      c = following;
    }
    this.#dialForWaiters();
  }

  close(): void {
    this.#closing = true;
    this.#endIfClosing();
  }

  destroy(error: ExchangeError): void {
    this.#closing = true;
    this.#sweep.stop();
    for (const attempt of this.#attempts.splice(0)) attempt.cancel?.();
    this.#waiting.failAll(error);
    this.#waitingAlone.failAll(error);
    const all: PooledConnection[] = [];
    for (let c = this.#first; c !== null; c = c.next) all.push(c);
    for (const c of all) c.connection.destroy(error);
    this.#onChange();
  }

  onIdle(c: PooledConnection): void {
    if (c.closed || c.idle) return;
    this.#backoff.reset();
    this.#release(c);
  }

  onClosed(c: PooledConnection, error: ExchangeError | null): void {
    if (c.closed) return;
    c.closed = true;
    this.#idle.remove(c);
    this.#unlink(c);
    this.#config.listener.onClose?.(c.socket, "h1", error);
    this.#dialForWaiters();
    this.#onChange();
  }

  #wait(x: Exchange, sink: Sink, queue: WaiterQueue): void {
    const { clock, maxPending } = this.#config;
    // Unlike the first attempt after the backoff, one that is under way already may still succeed.
    const refusal = this.#attempts.length > 0 ? null : this.#backoff.refusal(clock.now());
    if (refusal !== null) {
      sink.onError(refusal);
    } else if (this.pending >= maxPending) {
      const message = `${this.pending} exchanges wait for a connection already (maxPending)`;
      sink.onError(transportError("SELVAGE_ERR_OVERFLOW", message, "local", "unsent"));
    } else {
      queue.push(new Waiter(x, sink));
      this.#dialForWaiters();
    }
  }

  /** One attempt for each waiter, as far as there may be connections. */
  #dialForWaiters(): void {
    if (this.pending <= this.#attempts.length) return;
    const { clock, maxHttp1Connections } = this.#config;
    if (this.#backoff.refusal(clock.now()) !== null) {
      this.#sweep.by(this.#backoff.retryAt);
      return;
    }
    while (this.pending > this.#attempts.length && this.#count + this.#attempts.length < maxHttp1Connections) {
      this.#dial();
    }
  }

  #dial(): void {
    const attempt: Attempt = { cancel: null, endsAt: this.#config.clock.now() + this.#config.connectTimeoutMs };
    this.#attempts.push(attempt);
    this.#sweep.by(attempt.endsAt);
    attempt.cancel = this.#connect((error, socket, expiresAt) => {
      const index = this.#attempts.indexOf(attempt);
      if (index >= 0) this.#attempts.splice(index, 1);
      if (socket !== null) this.#opened(socket, expiresAt);
      else if (error !== null) this.#failed(error);
    });
    this.#onChange();
  }

  #opened(socket: Duplex, expiresAt: number): void {
    const { clock, random, maxAgeMs, http1, listener } = this.#config;
    const life = new Lifetime(clock, random, maxAgeMs, expiresAt);
    listener.onOpen?.(socket, "h1");
    const c = new PooledConnection(socket, life, http1, this);
    this.#link(c);
    this.#backoff.reset();
    this.#sweep.by(life.nextCheck(clock, life.openedAt));
    const alone = this.#waitingAlone.shift();
    if (alone === null) {
      this.#release(c);
    } else {
      alone.proceed(c);
      if (!c.closed) c.connection.drain();
    }
    this.#onChange();
  }

  #failed(error: ExchangeError): void {
    const { clock } = this.#config;
    this.#backoff.failed(error, clock.now());
    if (this.#attempts.length === 0 && this.#count === 0) {
      this.#waiting.failAll(error);
      this.#waitingAlone.failAll(error);
    } else {
      // There may be another connection for the others.
      (this.#waiting.shift() ?? this.#waitingAlone.shift())?.fail(error);
    }
    this.#endIfClosing();
    this.#onChange();
  }

  /** A connection that can take an exchange. */
  #release(c: PooledConnection): void {
    const { clock, http1IdleTimeoutMs, maxIdleHttp1Connections } = this.#config;
    const waiter = this.#waiting.shift();
    if (waiter !== null) {
      waiter.proceed(c);
      return;
    }
    c.idleSince = clock.now();
    if (this.#closing || c.life.openedAt < this.#refreshedAt || this.#idle.size >= maxIdleHttp1Connections) {
      this.#retire(c);
      return;
    }
    this.#idle.push(c);
    this.#sweep.by(c.idleSince + http1IdleTimeoutMs);
  }

  /** It takes no more exchanges, and closes when it has none. */
  #retire(c: PooledConnection): void {
    c.life.retireAt = Number.POSITIVE_INFINITY;
    this.#idle.remove(c);
    c.connection.drain();
  }

  #endIfClosing(): void {
    if (!this.#closing || this.pending > 0) return;
    for (const attempt of this.#attempts.splice(0)) attempt.cancel?.();
    for (let c = this.#idle.pop(); c !== null; c = this.#idle.pop()) this.#retire(c);
  }

  #visit(now: number): number {
    const { clock, connectTimeoutMs, http1IdleTimeoutMs } = this.#config;
    for (const attempt of [...this.#attempts]) {
      const index = this.#attempts.indexOf(attempt);
      if (now < attempt.endsAt || index < 0) continue;
      this.#attempts.splice(index, 1);
      attempt.cancel?.();
      this.#failed(connectTimeoutError("the endpoint", connectTimeoutMs));
    }
    const epoch = clock.epoch();
    let next = Number.POSITIVE_INFINITY;
    for (let c = this.#first; c !== null; ) {
      const following: PooledConnection | null = c.next;
      if (epoch >= c.life.expiresAt) c.connection.destroy();
      else if (now >= c.life.retireAt) this.#retire(c);
      else next = Math.min(next, c.life.nextCheck(clock, now));
      c = following;
    }
    for (let c = this.#idle.oldest; c !== null && now - c.idleSince >= http1IdleTimeoutMs; c = this.#idle.oldest) {
      this.#retire(c);
    }
    this.#dialForWaiters();
    if (this.#idle.oldest !== null) next = Math.min(next, this.#idle.oldest.idleSince + http1IdleTimeoutMs);
    for (const attempt of this.#attempts) next = Math.min(next, attempt.endsAt);
    if (this.pending > 0) next = Math.min(next, Math.max(this.#backoff.retryAt, now));
    return next;
  }

  #link(c: PooledConnection): void {
    c.next = this.#first;
    if (this.#first !== null) this.#first.previous = c;
    this.#first = c;
    this.#count++;
  }

  #unlink(c: PooledConnection): void {
    if (c.previous !== null) c.previous.next = c.next;
    else this.#first = c.next;
    if (c.next !== null) c.next.previous = c.previous;
    c.previous = null;
    c.next = null;
    this.#count--;
  }
}
