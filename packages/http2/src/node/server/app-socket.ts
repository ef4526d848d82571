import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import type { Clock } from "../../clock.js";
import type { Connection, Exchange } from "../../exchange.js";
import { mirrorConnection, type StandIn } from "./connection-facts.js";
import type { DeadlineList, Timed } from "./deadline-list.js";

type Done = (error?: Error | null) => void;

/**
 * One of two streams in memory of which each reads what the other was given. Chunks cross on the next tick, so that nothing
 * which the reader does or throws gets into the writer's call. A reader that stops stops the writer.
 */
export class PairEnd extends Duplex {
  peer: PairEnd | null = null;
  private blocked: Done | null = null;
  private finalSent = false;

  constructor() {
    super({ allowHalfOpen: true, emitClose: true });
    // Both ends have owners that listen; this one is for the time before and after.
    this.on("error", ignore);
  }

  /** Joins two ends. */
  join(peer: PairEnd): void {
    this.peer = peer;
    peer.peer = this;
  }

  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, done: Done): void {
    process.nextTick(cross, this, typeof chunk === "string" ? Buffer.from(chunk, encoding) : chunk, done);
  }

  override _final(done: Done): void {
    process.nextTick(crossEnd, this, done);
  }

  override _read(): void {
    const blocked = this.blocked;
    this.blocked = null;
    if (blocked !== null) blocked();
  }

  override _destroy(error: Error | null, done: Done): void {
    const peer = this.peer;
    this._read();
    // What was written in full before may still be read, as on a TCP connection.
    if (peer !== null && !peer.destroyed && !this.finalSent) process.nextTick(cut, peer);
    done(error);
  }

  receive(chunk: Uint8Array, done: Done): void {
    if (this.destroyed) done();
    else if (this.push(chunk)) done();
    else this.blocked = done;
  }

  receiveEnd(): void {
    if (!this.destroyed) this.push(null);
  }

  markFinal(): void {
    this.finalSent = true;
  }
}

/** What an application that is served through a pair sees as `req.socket`. */
export class AppSocket extends PairEnd implements StandIn, Timed {
  readonly exchange: Exchange;
  timeout = 0;
  deadlineAt = 0;
  earlier: Timed | null = null;
  later: Timed | null = null;
  timed = false;
  readonly connecting = false;
  readonly pending = false;
  private readonly clock: Clock;
  private readonly inactivity: DeadlineList;
  private unread = true;

  constructor(exchange: Exchange, clock: Clock, inactivity: DeadlineList) {
    super();
    this.exchange = exchange;
    this.clock = clock;
    this.inactivity = inactivity;
  }

  get peerConnection(): Connection | null {
    return this.exchange.connection;
  }

  override receive(chunk: Uint8Array, done: Done): void {
    this.unread = false;
    this.touch();
    super.receive(chunk, done);
  }

  override _write(chunk: Uint8Array | string, encoding: BufferEncoding, done: Done): void {
    this.touch();
    super._write(chunk, encoding, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.inactivity.remove(this);
    super._destroy(error, done);
  }

  /** `server.close()` destroys connections that it takes for idle: this one has a request, which wasn't read yet. */
  override destroy(error?: Error): this {
    if (this.unread && error === undefined && this.peer !== null && !this.peer.destroyed) return this;
    return super.destroy(error);
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", destroyThis);
  }

  setTimeout(timeoutMs: number, callback?: () => void): this {
    this.timeout = timeoutMs;
    if (!(timeoutMs > 0) || this.destroyed) {
      this.inactivity.remove(this);
      if (callback !== undefined) this.removeListener("timeout", callback);
      return this;
    }
    if (callback !== undefined) this.once("timeout", callback);
    this.deadlineAt = this.clock.now() + timeoutMs;
    this.inactivity.add(this);
    return this;
  }

  onDeadline(): void {
    this.emit("timeout");
  }

  _unrefTimer(): void {
    this.touch();
  }

  private touch(): void {
    if (this.timed) this.deadlineAt = this.clock.now() + this.timeout;
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): object {
    const connection = this.exchange.connection;
    if (connection === null) return {};
    const family = connection.localAddress.includes(":") ? "IPv6" : "IPv4";
    return { address: connection.localAddress, family, port: connection.localPort };
  }
}

mirrorConnection(AppSocket.prototype);

function ignore(): void {}

function destroyThis(this: AppSocket): void {
  this.destroy();
}

function cross(from: PairEnd, chunk: Uint8Array, done: Done): void {
  if (from.peer === null) done();
  else from.peer.receive(chunk, done);
}

function crossEnd(from: PairEnd, done: Done): void {
  from.markFinal();
  from.peer?.receiveEnd();
  done();
}

function cut(end: PairEnd): void {
  end.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
}
