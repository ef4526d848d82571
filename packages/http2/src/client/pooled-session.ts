import type { Duplex } from "node:stream";
import type { Exchange, Service, Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { ClientSession, type ClientSessionListener } from "../h2/client-session.js";
import type { Http2Config } from "../h2/limits.js";
import type { Lifetime } from "./lifetime.js";

export interface PooledSessionListener {
  onAvailable(s: PooledSession): void;
  onIdle(s: PooledSession): void;
  onDraining(s: PooledSession): void;
  onClosed(s: PooledSession, error: ExchangeError | null): void;
}

/**
 * - `opening`: the peer's SETTINGS haven't come
 * - `ready`
 * - `stale`: serves until there is a ready one
 * - `draining`, `closed`
 */
export type SessionPhase = "opening" | "ready" | "stale" | "draining" | "closed";

/** What the pool knows of one HTTP/2 session. */
export class PooledSession implements ClientSessionListener, Service {
  readonly socket: Duplex;
  readonly encrypted: boolean;
  readonly life: Lifetime;
  readonly session: ClientSession;
  phase: SessionPhase = "opening";
  /** It has carried an exchange. */
  used = false;
  /** Since when it carries none, a time of `Clock.now`. Old while it does. */
  idleSince: number;
  /** Since when every look found unsent bytes, a time of `Clock.now`; 0 for never. */
  backlogSince = 0;
  readonly #listener: PooledSessionListener;

  constructor(socket: Duplex, life: Lifetime, config: Http2Config, listener: PooledSessionListener) {
    this.socket = socket;
    this.encrypted = (socket as { encrypted?: boolean }).encrypted === true;
    this.life = life;
    this.idleSince = life.openedAt;
    this.#listener = listener;
    this.session = new ClientSession(socket, config, this);
  }

  call(x: Exchange, sink: Sink): void {
    this.used = true;
    this.session.call(x, sink);
  }

  onAvailable(): void {
    this.#listener.onAvailable(this);
  }

  onIdle(): void {
    this.#listener.onIdle(this);
  }

  onDraining(): void {
    this.#listener.onDraining(this);
  }

  onClosed(_: ClientSession, error: ExchangeError | null): void {
    this.#listener.onClosed(this, error);
  }
}
