import { Socket } from "node:net";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { ServerConnection } from "../h1/server-connection.js";
import { ServerSession } from "../h2/server-session.js";
import { lendReads } from "../lent-reads.js";
import { AcceptedConnection, type ConnectionOwner } from "./accepted-connection.js";
import { type AlpnOffer, readAlpnOffer } from "./client-hello.js";
import type { ConnectionReaper } from "./connection-reaper.js";
import { classifyFirstBytes, type FirstBytes } from "./first-bytes.js";
import { saysNothing, speaksPlaintext } from "./first-record.js";
import type { HttpServerConfig } from "./http-server-options.js";
import { Peek } from "./peek.js";
import type { ServedTunnel } from "./served-tunnel.js";
import { TlsTerminator } from "./tls-terminator.js";

const ageSplay = 0.1;
// After this long a peer that doesn't answer our close is cut off, as is one that says nothing while we drain.
const lingerMs = 1_000;
// The TLS server has its own timer; this one is for a handshake that it forgot.
const handshakeSlackMs = 1_000;
const plaintextRefused = "plaintext refused";

/** Takes sockets, finds out what each speaks, and hands it to the parser for that. */
export class Acceptor implements ConnectionOwner {
  draining = false;
  closed = false;
  readonly #config: HttpServerConfig;
  readonly #reaper: ConnectionReaper;
  readonly #onEmpty: () => void;
  readonly #tls: TlsTerminator | null;
  /** Present: what isn't TLS is refused, so that TLS reads from the first byte on. */
  readonly #tlsOnly: TlsTerminator | null;

  constructor(config: HttpServerConfig, reaper: ConnectionReaper, onEmpty: () => void) {
    this.#config = config;
    this.#reaper = reaper;
    this.#onEmpty = onEmpty;
    this.#tls =
      config.tls === null
        ? null
        : new TlsTerminator(config.tls, config.handshakeTimeoutMs, {
            onSecure: (c, socket) => this.#secured(c, socket),
            onFailure: (c, error, reason) => this.#tlsFailed(c, error, reason),
          });
    this.#tlsOnly = config.plaintext || this.#tls?.readsAlpn === true ? null : this.#tls;
  }

  accept(socket: Socket | ServedTunnel): void {
    socket.on("error", ignore);
    if (socket.destroyed) return;
    // A peer that reset the connection before it was accepted: what it sent can be read, and then looks like an orderly end.
    if (socket.remoteAddress === undefined && socket.localAddress !== undefined) {
      socket.destroy();
      return;
    }
    const { list } = this.#reaper;
    if (this.closed || list.size >= this.#config.maxConnections) {
      if (!this.closed) this.#config.onProtection?.("too many connections");
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const c = new AcceptedConnection(socket, this);
    list.add(c);
    socket.on("close", c.onSocketClose);
    c.encrypted = (socket as Partial<TLSSocket>).encrypted === true;
    if (this.#tlsOnly !== null && isUnread(socket)) this.#awaitHello(c, this.#tlsOnly);
    else this.#detect(c);
  }

  setSecureContext(options: SecureContextOptions): void {
    if (this.#tls === null) throw new TypeError("setSecureContext: this server has no tls options");
    this.#tls.setSecureContext(options);
  }

  /** Silent connections get little time once the server drains: most of them are spares that will never speak. */
  drain(c: AcceptedConnection): void {
    if (c.stage === "detect" || c.stage === "hello")
      this.#limit(c, Math.min(c.deadline, this.#config.clock.now() + lingerMs));
    c.drain();
  }

  /** The stage that a connection is in has taken too long. */
  expire(c: AcceptedConnection): void {
    if (c.stage === "hello") {
      this.#expireHello(c);
      return;
    }
    // Half a ClientHello on a port with TLS is a slow client or an attack, and nobody else's protocol.
    const halfHello = this.#tls !== null && !c.encrypted && c.peek?.firstByte === 0x16;
    if (c.stage === "detect" && this.#config.onOpaque !== null && !this.draining && !halfHello) {
      this.#stopPeek(c);
      this.#start(c, "opaque");
    } else {
      c.destroy();
    }
  }

  #limit(c: AcceptedConnection, deadline: number): void {
    c.deadline = deadline;
    this.#reaper.by(deadline);
  }

  #awaitFirstBytes(c: AcceptedConnection, stage: "detect" | "hello"): void {
    const { clock, detectTimeoutMs } = this.#config;
    c.stage = stage;
    this.#limit(c, clock.now() + (this.draining ? lingerMs : detectTimeoutMs));
  }

  #detect(c: AcceptedConnection): void {
    this.#awaitFirstBytes(c, "detect");
    c.peek = new Peek(c.socket, (bytes) => this.#look(c, bytes));
  }

  #stopPeek(c: AcceptedConnection): void {
    c.peek?.stop();
    c.peek = null;
  }

  #look(c: AcceptedConnection, bytes: Buffer | null): void {
    if (bytes === null) {
      c.destroy();
      return;
    }
    const found = classifyFirstBytes(bytes);
    if (found === "more") return;
    if (found === "tls" && this.#tls !== null && !c.encrypted) {
      const offer = this.#tls.readsAlpn ? readAlpnOffer(bytes) : "none";
      if (offer !== "more") this.#handshake(c, this.#tls, offer);
      return;
    }
    this.#stopPeek(c);
    this.#start(c, found);
  }

  #handshake(c: AcceptedConnection, tls: TlsTerminator, offer: AlpnOffer): void {
    this.#stopPeek(c);
    this.#limitHandshake(c);
    this.#startTls(c, tls, offer);
  }

  #limitHandshake(c: AcceptedConnection): void {
    const { clock, handshakeTimeoutMs } = this.#config;
    c.stage = "handshake";
    this.#limit(c, clock.now() + handshakeTimeoutMs + handshakeSlackMs);
  }

  /** What JavaScript reads before TLS does makes a connection take 5 KiB more for as long as it is open. */
  #awaitHello(c: AcceptedConnection, tls: TlsTerminator): void {
    this.#awaitFirstBytes(c, "hello");
    this.#startTls(c, tls, "none");
  }

  #expireHello(c: AcceptedConnection): void {
    if (!saysNothing(c.raw as Socket)) {
      this.#limitHandshake(c);
      return;
    }
    // As of all who are silent where opaque protocols are taken.
    if (this.#config.onOpaque !== null && !this.draining) this.#config.onProtection?.(plaintextRefused);
    c.destroy();
  }

  #startTls(c: AcceptedConnection, tls: TlsTerminator, offer: AlpnOffer): void {
    // The TLS socket inherits it, and with it would wait for the rest of a handshake that can't come any more.
    c.raw.allowHalfOpen = false;
    try {
      tls.handshake(c, offer);
    } catch (error) {
      this.#tlsFailed(c, error instanceof Error ? error : new Error(String(error)), undefined);
    }
  }

  #secured(c: AcceptedConnection, socket: TLSSocket): void {
    if (c.stage !== "handshake" && c.stage !== "hello") {
      socket.destroy();
      return;
    }
    c.socket = socket;
    c.encrypted = true;
    socket.on("close", c.onSocketClose);
    this.#detect(c);
  }

  #tlsFailed(c: AcceptedConnection | null, error: Error, authorizationError: string | undefined): void {
    const { onTlsError, onProtection } = this.#config;
    const raw = this.#tlsOnly === null || c === null ? null : (c.raw as Socket);
    if (raw !== null && speaksPlaintext(raw, error)) onProtection?.(plaintextRefused);
    // Whoever says nothing and goes, a probe of the port maybe, has not failed.
    else if (raw === null || !saysNothing(raw)) onTlsError?.(error, authorizationError, c?.remoteAddress ?? "");
    c?.destroy();
  }

  #start(c: AcceptedConnection, found: FirstBytes): void {
    const { http1, http2, http2Restoring, clock } = this.#config;
    c.deadline = Number.POSITIVE_INFINITY;
    c.protocol = found === "http/2" || found === "http/1" ? found : "opaque";
    if (!this.#admit(c) || c.socket.destroyed) {
      c.destroy();
      return;
    }
    const age = this.#config.maxConnectionAgeMs * (1 - ageSplay * this.#config.random());
    c.drainAt = Math.min(c.drainAt, clock.now() + age);
    this.#reaper.by(c.drainAt);
    if (c.protocol === "opaque") {
      c.stage = "opaque";
      try {
        this.#config.onOpaque?.(c, c.socket);
      } catch {
        this.#config.onProtection?.("a connection hook threw");
        c.destroy();
      }
      return;
    }
    c.stage = "http";
    if (!c.encrypted) this.#lendReads(c);
    const parser =
      c.protocol === "http/1"
        ? new ServerConnection(c.socket, c, this.#config.service, http1, c)
        : new ServerSession(c.socket, c, this.#config.service, c.restoresHttp1 ? http2Restoring : http2, c);
    c.parser = parser;
    if (c.draining) parser.drain();
    else if (this.draining) c.drain();
  }

  /** From here on only a parser reads it. */
  #lendReads(c: AcceptedConnection): void {
    const lent = lendReads(c.socket);
    if (lent === null) return;
    lent.on("error", ignore);
    lent.on("close", c.onSocketClose);
    c.raw = lent;
    c.socket = lent;
  }

  #admit(c: AcceptedConnection): boolean {
    const { plaintext, onOpaque, onConnection, onProtection, restoreHttp1 } = this.#config;
    if (!c.encrypted && !plaintext) {
      onProtection?.(plaintextRefused);
      return false;
    }
    if (c.protocol === "opaque" && onOpaque === null) {
      onProtection?.("unknown protocol");
      return false;
    }
    try {
      if (onConnection !== null && !onConnection(c)) return false;
      c.restoresHttp1 = restoreHttp1?.(c) === true;
      return true;
    } catch {
      // The hooks are where identity is checked: when one fails, nobody was checked.
      onProtection?.("a connection hook threw");
      return false;
    }
  }

  /** @internal What the parser wrote last may still be on its way. */
  onParsed(c: AcceptedConnection): void {
    if (c.stage === "closed") return;
    c.stage = "closing";
    this.#limit(c, this.#config.clock.now() + lingerMs);
  }

  /** @internal */
  onGone(c: AcceptedConnection): void {
    if (c.stage === "closed") return;
    c.stage = "closed";
    this.#stopPeek(c);
    this.#reaper.list.remove(c);
    if (!c.raw.destroyed) c.raw.destroy();
    if (this.#reaper.list.size === 0) this.#onEmpty();
  }
}

/** A connection as Node's server accepted it, of which nothing was read yet. */
function isUnread(socket: Socket | ServedTunnel): boolean {
  return Object.getPrototypeOf(socket) === Socket.prototype && (socket as Socket).bytesRead === 0;
}

function ignore(): void {}
