import type { Duplex } from "node:stream";
import type { Connection, Exchange, Service } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { spent } from "./flood-budget.js";
import { errorCode, maxStreamId, setting } from "./frame.js";
import { blockRole } from "./header-block.js";
import { drainPing } from "./keep-alive.js";
import type { Http2Config } from "./limits.js";
import { origProtoAbsoluteForm, origProtoVersion } from "./orig-proto.js";
import { sameAuthority } from "./request-target.js";
import { ServerStream } from "./server-stream.js";
import { Session } from "./session.js";
import type { Stream } from "./stream.js";

/** How long a draining server waits for its PING before it takes no more streams. */
const drainPingMs = 3_000;
/** Beyond this nothing more is read until the peer has read what it asked for. */
const readPauseBytes = 524_288;

const tooLarge = ["content-length", "0"];

/** Told what becomes of a server session. */
export interface ServerSessionListener {
  /** Its socket is gone. Exactly once. */
  onClosed(session: ServerSession): void;
  /** The first call began, or the last one ended. */
  onActive?(session: ServerSession, active: number): void;
}

/**
 * The server's side of an HTTP/2 connection (RFC 9113), from the client's preface on, over TLS or by prior knowledge. Each
 * request becomes a call of the service. A stream that the peer resets keeps its slot until its call has ended, so that
 * `maxConcurrentStreams` bounds the calls at work and not only the streams. With `restoreHttp1` a stream that carries
 * HTTP/1 (`l5d-orig-proto`) comes out as what it was. Heads beyond the limits are answered 431; other malformed requests
 * are reset.
 */
export class ServerSession extends Session {
  /** Calls at work: streams that are open, or whose call has not ended. */
  active = 0;

  readonly #connection: Connection;
  readonly #service: Service;
  readonly #listener: ServerSessionListener;
  /** Said GOAWAY with the last id that counts. */
  #final = false;
  #drainSince = -1;
  #readPaused = false;
  /** Slots that become free at the end of the present read. */
  #leaving = 0;

  constructor(
    socket: Duplex,
    connection: Connection,
    service: Service,
    config: Http2Config,
    listener: ServerSessionListener,
  ) {
    super(socket, config, true);
    this.#connection = connection;
    this.#service = service;
    this.#listener = listener;
    connection.protocol = "http/2";
    const settings: number[] = [
      setting.maxConcurrentStreams,
      config.maxConcurrentStreams,
      setting.initialWindowSize,
      config.streamWindowBytes,
      setting.maxFrameSize,
      config.maxFrameBytes,
      setting.maxHeaderListSize,
      config.maxHeaderListBytes,
      setting.headerTableSize,
      config.headerTableBytes,
    ];
    if (config.connectProtocol) settings.push(setting.enableConnectProtocol, 1);
    this.greet(settings);
  }

  /** Takes no new streams, once the peer knows (RFC 9113, section 6.8); closes when the last call is done. */
  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.#drainSince = this.clockMs;
    this.sender.goaway(maxStreamId, errorCode.none);
    this.sender.ping(0, drainPing, 0);
  }

  /** Ends at once. */
  destroy(): void {
    this.end(errorCode.none, null);
  }

  /**
   * A call has ended and its stream is gone. The slot of one that was aborted stays taken until the present read is over: an
   * application hears of it in a later turn, so a peer could otherwise start as many calls as fit into one read.
   */
  release(aborted: boolean): void {
    if (aborted && this.reading && !this.closed) this.#leaving += 1;
    else this.#free(1);
  }

  #free(slots: number): void {
    this.active -= slots;
    if (this.active === 0) this.#listener.onActive?.(this, 0);
    if (this.#final && this.active === 0) this.settle();
  }

  protected onNewHead(id: number, end: boolean): void {
    if (this.broken((id & 1) === 0, errorCode.protocol, "a client uses an even stream id")) return;
    if (id <= this.lastPeerId) {
      if (this.resets.has(id)) this.stray();
      else this.connectionError(errorCode.streamClosed, "HEADERS on a closed stream");
      return;
    }
    this.lastPeerId = id;
    this.budget.earn(spent.windowUpdate, 8);
    this.budget.earn(spent.priority, 2);
    this.budget.earn(spent.ping, 1);
    if (this.#final) this.resets.add(id);
    else if (this.active >= this.config.maxConcurrentStreams) {
      this.config.onProtection("concurrency");
      this.refuse(id, errorCode.refusedStream, spent.reset);
    } else if (this.block.tooLong !== "") this.#answerTooLarge(id, end);
    else this.#open(id, end);
  }

  #open(id: number, end: boolean): void {
    const x = this.config.newExchange();
    const carried = this.#fill(x, end);
    if (this.block.fault !== null) {
      this.refuse(id, errorCode.protocol);
      return;
    }
    const stream = new ServerStream(this, id, x, x.tunnel ? -1 : this.block.contentLength, carried);
    x.connection = this.#connection;
    if (end) stream.remoteDone = true;
    else x.body = stream;
    this.streams.add(stream);
    this.active += 1;
    if (this.active === 1) this.#listener.onActive?.(this, 1);
    this.#service.call(x, stream);
  }

  /** Makes an exchange of the head in the block; says whether it carries HTTP/1. A fault stays in the block. */
  #fill(x: Exchange, end: boolean): boolean {
    const block = this.block;
    block.judgeRequest();
    if (block.fault !== null) return false;
    const version = this.config.restoreHttp1 && block.origProto !== null ? origProtoVersion(block.origProto) : null;
    const absoluteForm = version !== null && origProtoAbsoluteForm(block.origProto!);
    let authority = block.authority;
    if (block.host !== null) {
      if (authority === "") authority = block.host;
      else if (!absoluteForm && !sameAuthority(block.host, authority)) block.fault = "host disagrees with :authority";
      if (version === null) block.dropHost();
    }
    if (end && block.contentLength > 0) block.fault = "the body is shorter than content-length";
    if (block.protocol !== "") {
      if (!this.config.connectProtocol) block.fault = "extended CONNECT is not taken";
      block.headers.push("upgrade", block.protocol);
    }
    x.method = block.method;
    if (block.scheme !== "") x.scheme = block.scheme as "http" | "https";
    x.authority = authority;
    x.path = block.path;
    x.version = version ?? "2.0";
    x.absoluteForm = absoluteForm;
    x.tunnel = block.method === "CONNECT";
    x.headers = block.headers;
    return version !== null;
  }

  /** RFC 6585, section 5. */
  #answerTooLarge(id: number, end: boolean): void {
    this.config.onProtection(this.block.tooLong as "header-bytes" | "header-pairs");
    if (!this.spend(spent.localReset)) return;
    const stream = new ServerStream(this, id, this.config.newExchange(), -1, false);
    this.sender.response(stream, 431, tooLarge, "", true);
    this.resets.add(id);
    if (!end) this.sender.reset(id, errorCode.none);
  }

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || id > this.lastPeerId;
  }

  protected roleOfBlock(stream: Stream | null): number {
    return stream === null ? blockRole.request : blockRole.trailers;
  }

  protected onSettings(): void {}

  protected onGoaway(_lastId: number, _code: number): void {
    // The client opens no more streams; there is nothing to wait for.
    this.draining = true;
    this.#final = true;
  }

  protected onDrainPing(): void {
    if (this.#drainSince >= 0) this.#finish();
  }

  protected onTick(): void {
    if (this.#drainSince >= 0 && this.clockMs - this.#drainSince >= drainPingMs) this.#finish();
  }

  #finish(): void {
    this.#drainSince = -1;
    this.#final = true;
    this.settle();
    if (!this.closed) this.sender.goaway(this.lastPeerId, errorCode.none);
  }

  protected onEnd(_error: ExchangeError | null): void {
    this.#freeLeaving();
  }

  #freeLeaving(): void {
    const slots = this.#leaving;
    if (slots === 0) return;
    this.#leaving = 0;
    this.#free(slots);
  }

  protected onSocketGone(): void {
    this.#listener.onClosed(this);
  }

  settle(): void {
    if (this.closed) return;
    this.#freeLeaving();
    if (this.#final && this.active === 0) {
      this.end(errorCode.none, null);
      return;
    }
    // Small answers are not held back by any window, so a peer that only asks has to be made to wait.
    const full = this.sender.output.bytes > readPauseBytes;
    if (full === this.#readPaused) return;
    this.#readPaused = full;
    if (full) this.socket.pause();
    else this.socket.resume();
  }
}
