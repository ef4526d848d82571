import type { Duplex } from "node:stream";
import type { Exchange, Service, Sink } from "../exchange.js";
import { type ExchangeError, type TransportErrorCode, transportError } from "../exchange-error.js";
import { ClientStream } from "./client-stream.js";
import { errorCode, maxStreamId, preface, setting } from "./frame.js";
import { blockRole } from "./header-block.js";
import type { Http2Config } from "./limits.js";
import { isAuthority, isMethod, isPath } from "./request-target.js";
import { headFault } from "./sender.js";
import { Session } from "./session.js";
import type { Stream } from "./stream.js";

/** What we open before the peer has said how many it takes. */
const streamsBeforeSettings = 100;

/** Told what becomes of a client session. */
export interface ClientSessionListener {
  /** A stream can be opened again after none could. Also when the peer's first SETTINGS have arrived. */
  onAvailable(session: ClientSession): void;
  /** The last open stream has ended. */
  onIdle(session: ClientSession): void;
  /** It takes no new streams: GOAWAY came, the ids are used up, or `drain` was called. At most once. */
  onDraining(session: ClientSession): void;
  /** It is over. Exactly once; `null` when it ended as intended. */
  onClosed(session: ClientSession, error: ExchangeError | null): void;
}

/**
 * The client's side of an HTTP/2 connection (RFC 9113) on a socket that is connected, TLS included. Sends exchanges as
 * streams; with `carryHttp1` those of HTTP/1.x with linkerd's `l5d-orig-proto`. Does not connect, retry or queue: when no
 * stream can be opened, `call` fails with progress `unsent`. Takes no pushes. Extended CONNECT (RFC 8441) is an exchange
 * with `tunnel`, method CONNECT and an `upgrade` header that holds the protocol.
 */
export class ClientSession extends Session implements Service {
  /** Streams open now. */
  active = 0;

  readonly #listener: ClientSessionListener;
  #nextId = 1;
  #greeted = false;
  #full = false;
  #busy = false;
  #drainingTold = false;
  #settling = false;

  constructor(socket: Duplex, config: Http2Config, listener: ClientSessionListener) {
    super(socket, config, false);
    this.#listener = listener;
    this.sender.raw(preface);
    this.greet([
      setting.enablePush,
      0,
      setting.initialWindowSize,
      config.streamWindowBytes,
      setting.maxFrameSize,
      config.maxFrameBytes,
      setting.maxHeaderListSize,
      config.maxHeaderListBytes,
      setting.headerTableSize,
      config.headerTableBytes,
    ]);
  }

  /** Streams that can be opened now. */
  get available(): number {
    if (this.draining || this.sender.congested) return 0;
    let limit = this.config.maxOutboundStreams;
    const peerLimit = this.settingsReceived ? this.peer.maxConcurrentStreams : streamsBeforeSettings;
    if (peerLimit >= 0 && peerLimit < limit) limit = peerLimit;
    return limit > this.active ? limit - this.active : 0;
  }

  call(x: Exchange, sink: Sink): void {
    if (this.available === 0) {
      this.#full = true;
      refuse(sink, "SELVAGE_ERR_REFUSED", "no stream can be opened on the session");
      return;
    }
    let protocol = "";
    if (x.tunnel) {
      if (x.method !== "CONNECT") {
        refuse(sink, "SELVAGE_ERR_MALFORMED", "an HTTP/1.1 upgrade can't cross HTTP/2; use CONNECT");
        return;
      }
      const at = x.headers.indexOf("upgrade");
      if (at >= 0 && (at & 1) === 0) protocol = x.headers[at + 1]!;
      if (protocol !== "" && !this.peer.connectProtocol) {
        refuse(sink, "SELVAGE_ERR_REFUSED", "the peer takes no extended CONNECT (RFC 8441)");
        return;
      }
    }
    const bareConnect = x.method === "CONNECT" && protocol === "";
    if (!isMethod(x.method) || !isAuthority(x.authority) || !(bareConnect || isPath(x.path, x.method))) {
      refuse(sink, "SELVAGE_ERR_MALFORMED", "method, authority or path has a forbidden character");
      return;
    }
    const carry = this.config.carryHttp1 && x.version !== "2.0";
    const stream = new ClientStream(this, this.#nextId, x, sink, carry);
    const fault = this.sender.request(stream, x, protocol, carry, x.body === null && !x.tunnel);
    if (fault !== headFault.none) {
      if (fault === headFault.tooLong) refuse(sink, "SELVAGE_ERR_TOO_LARGE", "the head is larger than the peer takes");
      else refuse(sink, "SELVAGE_ERR_MALFORMED", "a header has a forbidden character");
      return;
    }
    this.#nextId += 2;
    this.active += 1;
    this.#busy = true;
    this.streams.add(stream);
    x.flow = stream;
    if (this.#nextId > maxStreamId) this.#startDraining();
    stream.start();
    if (!this.#full && this.available === 0) this.#full = true;
  }

  /** Takes no new streams; closes when the last one is done. */
  drain(): void {
    this.#startDraining();
    this.settle();
  }

  /** Ends at once. Open streams fail with `error`, or with SELVAGE_ERR_CLOSED. */
  destroy(error?: ExchangeError): void {
    this.end(errorCode.none, error ?? null);
  }

  protected onNewHead(id: number, _end: boolean): void {
    if (this.isIdle(id)) this.connectionError(errorCode.protocol, "HEADERS on an idle stream");
    else this.stray();
  }

  protected isIdle(id: number): boolean {
    return (id & 1) === 0 || id >= this.#nextId;
  }

  protected roleOfBlock(stream: Stream | null): number {
    return stream !== null && (stream as ClientStream).headSeen ? blockRole.trailers : blockRole.response;
  }

  protected onSettings(): void {
    if (this.peer.pushEnabled === 1) {
      this.connectionError(errorCode.protocol, "a server enables push");
      return;
    }
    if (this.#greeted) return;
    this.#greeted = true;
    this.#full = false;
    this.#listener.onAvailable(this);
  }

  protected onGoaway(lastId: number, code: number): void {
    this.#startDraining();
    if (code !== errorCode.none) this.goawayCode = code;
    this.streams.forEach(dropAbove, lastId);
  }

  /** The error code of the peer's GOAWAY, or 0. */
  goawayCode: number = errorCode.none;

  protected onDrainPing(): void {}

  protected onTick(): void {}

  protected onEnd(error: ExchangeError | null): void {
    this.#listener.onClosed(this, error);
  }

  protected onSocketGone(): void {}

  settle(): void {
    if (this.closed || this.#settling) return;
    this.#settling = true;
    if (this.available === 0) this.#full = true;
    else if (this.#full) {
      this.#full = false;
      this.#listener.onAvailable(this);
    }
    if (this.active === 0 && this.#busy) {
      this.#busy = false;
      this.#listener.onIdle(this);
    }
    this.#settling = false;
    if (this.draining && this.active === 0) this.end(errorCode.none, null);
  }

  #startDraining(): void {
    if (this.#drainingTold || this.closed) return;
    this.#drainingTold = true;
    this.draining = true;
    this.#listener.onDraining(this);
  }
}

/** RFC 9113, section 6.8: streams above the last id were not looked at. */
function dropAbove(stream: Stream, lastId: number): void {
  if (stream.id <= lastId) return;
  stream.close();
  stream.onLost(
    transportError("SELVAGE_ERR_REFUSED", "the peer went away before it looked at the request", "peer", "unsent"),
  );
}

function refuse(sink: Sink, code: TransportErrorCode, message: string): void {
  sink.onError(transportError(code, message, "local", "unsent"));
}
