import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Connection } from "../exchange.js";
import type { Peek } from "./peek.js";
import type { ServedTunnel } from "./served-tunnel.js";

/** What reads and writes a connection once its protocol is known. */
export interface Parser {
  readonly active: number;
  drain(): void;
  destroy(): void;
}

/** Whoever accepted a connection. */
export interface ConnectionOwner {
  /** One of its sockets is closed: maybe not for the first time. */
  onGone(c: AcceptedConnection): void;
  /** The parser is done. */
  onParsed(c: AcceptedConnection): void;
}

/**
 * - `detect`: waiting for the first bytes, of the raw socket or within TLS
 * - `hello`: the TLS server has it, from its first byte on, which may not have come yet
 * - `handshake`: the TLS server has it, and the first bytes were TLS
 * - `http`: a parser has it
 * - `opaque`: whoever takes what isn't HTTP has it
 * - `closing`: the parser is done; the peer's close is awaited
 * - `closed`
 */
export type ConnectionStage = "detect" | "hello" | "handshake" | "http" | "opaque" | "closing" | "closed";

/** A connection of an `HttpServer`, from accept to close: passive, driven by the acceptor. Links of an intrusive list. */
export class AcceptedConnection implements Connection {
  raw: Socket | ServedTunnel;
  socket: Duplex;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  encrypted = false;
  protocol: Connection["protocol"] = "";
  context: unknown = null;

  stage: ConnectionStage = "detect";
  parser: Parser | null = null;
  peek: Peek | null = null;
  draining = false;
  /** `l5d-orig-proto` is believed. */
  restoresHttp1 = false;
  /** When the present stage must be over. A time of `Clock.now`, as is `drainAt`. */
  deadline = Number.POSITIVE_INFINITY;
  drainAt = Number.POSITIVE_INFINITY;
  /** Epoch milliseconds. */
  expiresAt = Number.POSITIVE_INFINITY;
  previous: AcceptedConnection | null = null;
  next: AcceptedConnection | null = null;
  /** For 'close' of each socket it has: one function, as there are many connections. */
  readonly onSocketClose: () => void = () => this.#owner.onGone(this);
  readonly #owner: ConnectionOwner;

  constructor(raw: Socket | ServedTunnel, owner: ConnectionOwner) {
    this.#owner = owner;
    this.raw = raw;
    this.socket = raw;
    // Read now, because a closed socket no longer knows them.
    this.remoteAddress = normalizeAddress(raw.remoteAddress);
    this.remotePort = raw.remotePort ?? 0;
    this.localAddress = normalizeAddress(raw.localAddress);
    this.localPort = raw.localPort ?? 0;
  }

  /** Called by the parser. */
  onClosed(): void {
    this.#owner.onParsed(this);
  }

  get active(): number {
    return this.parser === null ? 0 : this.parser.active;
  }

  drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.parser?.drain();
  }

  destroy(): void {
    this.parser?.destroy();
    this.socket.destroy();
    this.raw.destroy();
  }
}

/** An IPv4 peer of a dual-stack listener as what it is (RFC 4291, section 2.5.5.2). Empty when the socket has none. */
export function normalizeAddress(address: string | undefined): string {
  if (address === undefined) return "";
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
