import type { Duplex } from "node:stream";
import type { Exchange, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { Sweep } from "../sweep.js";
import type { Connect } from "./connect.js";
import { ConnectBackoff } from "./connect-backoff.js";
import type { EndpointClientConfig, EndpointState } from "./endpoint-client-options.js";
import { Lifetime } from "./lifetime.js";
import { closedEarlyError, connectTimeoutError } from "./node-error.js";
import { PooledSession, type PooledSessionListener } from "./pooled-session.js";
import { Waiter, WaiterQueue } from "./waiter-queue.js";

const granularityMs = 20;
// Unsent bytes at every look for so long mean that one connection isn't enough.
const backlogMs = 50;
// A session that ends unused before this age counts as a failed attempt, or a peer that hangs up at once would be redialled
// in a loop.
const settledMs = 1_000;
// After this long without a request, lost connections aren't made again before one is wanted.
const interestMs = 60_000;

/**
 * The HTTP/2 sessions to one endpoint. Exchanges go to the first session that has a free stream, so that frames of many
 * share one write; the others stay idle and end. A session counts as ready when the peer's SETTINGS came: until then
 * everything that waits for it is known to be unsent, also when the peer turns out to have refused our certificate.
 */
export class Http2Pool implements Service, PooledSessionListener {
  readonly #config: EndpointClientConfig;
  readonly #connect: Connect;
  readonly #onChange: () => void;
  readonly #waiting = new WaiterQueue();
  readonly #backoff: ConnectBackoff;
  readonly #sweep: Sweep;
  /** Those that take exchanges: `ready` and `stale`, or only `stale` ones. */
  readonly #sessions: PooledSession[] = [];
  readonly #draining: PooledSession[] = [];
  #opening: PooledSession | null = null;
  #cancelConnect: (() => void) | null = null;
  #attemptEndsAt = Number.POSITIVE_INFINITY;
  #interestUntil = 0;
  #closing = false;

  constructor(config: EndpointClientConfig, connect: Connect, onChange: () => void) {
    this.#config = config;
    this.#connect = connect;
    this.#onChange = onChange;
    this.#backoff = new ConnectBackoff(config.backoff, config.random);
    this.#sweep = new Sweep(config.clock, granularityMs, (now) => this.#visit(now));
  }

  get active(): number {
    let active = 0;
    for (let i = 0; i < this.#sessions.length; i++) active += this.#sessions[i]!.session.active;
    for (let i = 0; i < this.#draining.length; i++) active += this.#draining[i]!.session.active;
    return active;
  }

  get pending(): number {
    return this.#waiting.size;
  }

  get state(): EndpointState {
    if (this.#sessions.length > 0) return "ready";
    if (this.#attempting) return "connecting";
    return this.#backoff.lastError === null ? "idle" : "failing";
  }

  get lastError(): ExchangeError | null {
    return this.#backoff.lastError;
  }

  /** Nothing is left: no session in any phase, no attempt. */
  get empty(): boolean {
    return this.#sessions.length === 0 && this.#draining.length === 0 && !this.#attempting;
  }

  call(x: Exchange, sink: Sink): void {
    if (this.#waiting.size === 0) {
      const s = this.#pick();
      if (s !== null) {
        s.call(x, sink);
        return;
      }
    }
    this.#wait(x, sink);
  }

  warm(): void {
    this.#interestUntil = this.#config.clock.now() + interestMs;
    if (this.#sessions.length === 0) this.#dial();
  }

  /** New exchanges go to new sessions as soon as there is one; the present ones end after that. */
  refresh(): void {
    const now = this.#config.clock.now();
    const wanted = this.#attempting || (this.#backoff.lastError !== null && now < this.#interestUntil);
    this.#abandonAttempt();
    // It may have been what was shown before that was refused.
    this.#backoff.reset();
    for (const s of [...this.#sessions]) {
      if (s.session.active === 0 && now - s.idleSince >= settledMs) this.#retire(s);
      else s.phase = "stale";
    }
    if (wanted || this.#sessions.length > 0) {
      this.#interestUntil = now + interestMs;
      this.#dial();
    }
    this.#onChange();
  }

  close(): void {
    this.#closing = true;
    this.#drainIfClosing();
  }

  /** Gives what waits for a session to another pool, in order. */
  moveWaiters(pool: Service): void {
    for (let waiter = this.#waiting.shift(); waiter !== null; waiter = this.#waiting.shift()) waiter.proceed(pool);
  }

  destroy(error: ExchangeError): void {
    this.#closing = true;
    this.#abandonAttempt();
    this.#sweep.stop();
    this.#waiting.failAll(error);
    for (const s of [...this.#sessions, ...this.#draining]) s.session.destroy(error);
    this.#onChange();
  }

  onAvailable(s: PooledSession): void {
    if (s.phase === "opening") this.#ready(s);
    else this.#dispatch();
  }

  onIdle(s: PooledSession): void {
    const now = this.#config.clock.now();
    s.idleSince = now;
    this.#backoff.reset();
    this.#sweep.by(now + this.#config.idleTimeoutMs);
  }

  onDraining(s: PooledSession): void {
    if (s.phase === "draining" || s.phase === "closed") return;
    removeFrom(this.#sessions, s);
    s.phase = "draining";
    this.#draining.push(s);
    if (s === this.#opening) {
      this.#endAttempt();
      this.#failed(closedEarlyError(s.encrypted, null));
    } else {
      this.#lost(s);
    }
    s.session.drain();
  }

  onClosed(s: PooledSession, error: ExchangeError | null): void {
    const { phase } = s;
    s.phase = "closed";
    this.#config.listener.onClose?.(s.socket, "h2", error);
    removeFrom(this.#sessions, s);
    removeFrom(this.#draining, s);
    if (s === this.#opening) {
      this.#endAttempt();
      this.#failed(closedEarlyError(s.encrypted, error?.cause ?? error));
    } else if (phase === "ready" || phase === "stale") {
      this.#lost(s);
    }
    this.#onChange();
  }

  get #attempting(): boolean {
    return this.#cancelConnect !== null || this.#opening !== null;
  }

  #pick(): PooledSession | null {
    let clogged: PooledSession | null = null;
    for (let i = 0; i < this.#sessions.length; i++) {
      const s = this.#sessions[i]!;
      if (s.session.available <= 0) continue;
      if (s.socket.writableLength === 0) s.backlogSince = 0;
      else if (this.#isClogged(s)) {
        clogged ??= s;
        continue;
      }
      return s;
    }
    if (clogged !== null) this.#grow();
    return clogged;
  }

  #isClogged(s: PooledSession): boolean {
    const now = this.#config.clock.now();
    if (s.backlogSince === 0) s.backlogSince = now;
    return now - s.backlogSince >= backlogMs;
  }

  #wait(x: Exchange, sink: Sink): void {
    const now = this.#config.clock.now();
    this.#interestUntil = now + interestMs;
    const refusal = this.#sessions.length > 0 || this.#attempting ? null : this.#backoff.refusal(now);
    if (refusal !== null) {
      sink.onError(refusal);
    } else if (this.#waiting.size >= this.#config.maxPending) {
      const message = `${this.#waiting.size} exchanges wait for a connection already (maxPending)`;
      sink.onError(transportError("SELVAGE_ERR_OVERFLOW", message, "local", "unsent"));
    } else {
      this.#waiting.push(new Waiter(x, sink));
      this.#grow();
    }
  }

  /** Another session, unless there are enough, one is on its way, or it's too early. */
  #grow(): void {
    if (this.#attempting || this.#sessions.length >= this.#config.maxSessions) return;
    if (this.#backoff.refusal(this.#config.clock.now()) === null) this.#dial();
    else this.#sweep.by(this.#backoff.retryAt);
  }

  #dial(): void {
    if (this.#attempting) return;
    this.#attemptEndsAt = this.#config.clock.now() + this.#config.connectTimeoutMs;
    this.#sweep.by(this.#attemptEndsAt);
    let called = false;
    const cancel = this.#connect((error, socket, expiresAt) => {
      called = true;
      this.#cancelConnect = null;
      if (socket !== null) {
        this.#open(socket, expiresAt);
      } else if (error !== null) {
        this.#endAttempt();
        this.#failed(error);
      }
    });
    if (!called) this.#cancelConnect = cancel;
    this.#onChange();
  }

  #open(socket: Duplex, expiresAt: number): void {
    const { clock, random, maxAgeMs, http2, listener } = this.#config;
    const life = new Lifetime(clock, random, maxAgeMs, expiresAt);
    listener.onOpen?.(socket, "h2");
    this.#opening = new PooledSession(socket, life, http2, this);
  }

  #ready(s: PooledSession): void {
    this.#endAttempt();
    s.phase = "ready";
    for (const other of [...this.#sessions]) if (other.phase === "stale") this.#retire(other);
    this.#sessions.push(s);
    this.#sweep.by(
      Math.min(s.life.nextCheck(this.#config.clock, s.life.openedAt), s.idleSince + this.#config.idleTimeoutMs),
    );
    this.#dispatch();
    this.#onChange();
  }

  #dispatch(): void {
    while (this.#waiting.size > 0) {
      const s = this.#pick();
      if (s === null) {
        this.#grow();
        return;
      }
      this.#waiting.shift()!.proceed(s);
    }
    this.#drainIfClosing();
  }

  #failed(error: ExchangeError): void {
    const now = this.#config.clock.now();
    this.#backoff.failed(error, now);
    if (now < this.#interestUntil && !this.#closing) this.#sweep.by(this.#backoff.retryAt);
    // Those that wait for a free stream of a living session go on waiting.
    if (this.#sessions.length === 0) this.#waiting.failAll(error);
    this.#onChange();
  }

  /** A session that took exchanges takes no more. */
  #lost(s: PooledSession): void {
    if (this.#closing) return;
    const now = this.#config.clock.now();
    const settled = s.used || now - s.life.openedAt >= settledMs;
    if (settled) this.#backoff.reset();
    else if (!this.#attempting) this.#failed(closedEarlyError(s.encrypted, null));
    const busy = s.used && (s.session.active > 0 || now - s.idleSince < interestMs);
    if (this.#waiting.size > 0 || (busy && this.#sessions.length === 0)) {
      this.#interestUntil = now + interestMs;
      this.#grow();
    }
    this.#onChange();
  }

  /** Its time is over. Make before break when it's in use and the only one; otherwise it just ends. */
  #replace(s: PooledSession, now: number): void {
    s.life.retireAt = Number.POSITIVE_INFINITY;
    s.phase = "stale";
    const idle = s.session.active === 0 && now - s.idleSince >= settledMs;
    if (this.#closing || idle || this.#sessions.some((other) => other.phase === "ready")) {
      this.#retire(s);
    } else {
      this.#interestUntil = now + interestMs;
      this.#dial();
    }
  }

  #retire(s: PooledSession): void {
    if (s.phase === "draining" || s.phase === "closed") return;
    removeFrom(this.#sessions, s);
    s.phase = "draining";
    this.#draining.push(s);
    s.session.drain();
  }

  #endAttempt(): void {
    this.#opening = null;
    this.#cancelConnect = null;
    this.#attemptEndsAt = Number.POSITIVE_INFINITY;
  }

  #abandonAttempt(): void {
    const opening = this.#opening;
    const cancel = this.#cancelConnect;
    this.#endAttempt();
    cancel?.();
    opening?.session.destroy();
  }

  #drainIfClosing(): void {
    if (!this.#closing || this.#waiting.size > 0) return;
    this.#abandonAttempt();
    for (const s of [...this.#sessions]) this.#retire(s);
  }

  #visit(now: number): number {
    const { clock, connectTimeoutMs, idleTimeoutMs } = this.#config;
    if (now >= this.#attemptEndsAt) {
      this.#abandonAttempt();
      this.#failed(connectTimeoutError("the endpoint", connectTimeoutMs));
    }
    const epoch = clock.epoch();
    for (const s of [...this.#sessions, ...this.#draining]) {
      if (epoch >= s.life.expiresAt) s.session.destroy();
      else if (s.phase === "draining") continue;
      else if (now >= s.life.retireAt) this.#replace(s, now);
      else if (s.session.active === 0 && now - s.idleSince >= idleTimeoutMs) this.#retire(s);
    }
    if (this.#wantsRetry(now) && this.#backoff.refusal(now) === null) this.#dial();
    let next = this.#attemptEndsAt;
    for (const s of this.#sessions) {
      next = Math.min(next, s.life.nextCheck(clock, now));
      if (s.session.active === 0) next = Math.min(next, s.idleSince + idleTimeoutMs);
    }
    for (const s of this.#draining) next = Math.min(next, s.life.nextEnd(clock, now));
    if (this.#wantsRetry(now)) next = Math.min(next, this.#backoff.retryAt);
    return next;
  }

  #wantsRetry(now: number): boolean {
    if (this.#closing || this.#attempting || this.#backoff.lastError === null) return false;
    if (this.#sessions.every((s) => s.phase === "stale")) return now < this.#interestUntil || this.#sessions.length > 0;
    return this.#waiting.size > 0 && this.#sessions.length < this.#config.maxSessions;
  }
}

function removeFrom(list: PooledSession[], s: PooledSession): void {
  const index = list.indexOf(s);
  if (index >= 0) list.splice(index, 1);
}
