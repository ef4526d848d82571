import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import type { Connection } from "../exchange.js";
import { AcceptedConnection } from "./accepted-connection.js";
import { Acceptor } from "./acceptor.js";
import { ConnectionReaper } from "./connection-reaper.js";
import { type HttpServerConfig, type HttpServerOptions, resolveHttpServer } from "./http-server-options.js";
import type { ServedTunnel } from "./served-tunnel.js";

/**
 * Serves TLS, HTTP/2 by prior knowledge, HTTP/1 and opaque protocols on one port, told apart by the first bytes of each
 * connection. ALPN is answered but not relied on. Nothing that a peer sends or leaves out makes it throw.
 *
 * It listens itself, or is given sockets by `accept`, or both.
 */
export class HttpServer {
  readonly #config: HttpServerConfig;
  readonly #reaper: ConnectionReaper;
  readonly #acceptor: Acceptor;
  readonly #listeners: Server[] = [];
  #whenEmpty: (() => void) | null = null;
  #unref = false;

  constructor(options: HttpServerOptions) {
    this.#config = resolveHttpServer(options);
    this.#reaper = new ConnectionReaper(this.#config.clock, this.#config.random, {
      onDeadline: (c) => this.#acceptor.expire(c),
    });
    this.#acceptor = new Acceptor(this.#config, this.#reaper, () => this.#onEmpty());
  }

  /** Connections in any stage: detection and handshakes too. */
  get connections(): number {
    return this.#reaper.list.size;
  }

  /** Exchanges that aren't over. Walks the connections. */
  get active(): number {
    let active = 0;
    for (let c = this.#reaper.list.first; c !== null; c = c.next) active += c.active;
    return active;
  }

  /** Takes a connection that somebody else accepted, before anything was read from it, or what is inside a tunnel. */
  accept(socket: Socket | ServedTunnel): void {
    if (this.#unref) socket.unref();
    this.#acceptor.accept(socket);
  }

  /** Listens, besides what it listens on already. Rejects when that isn't possible. */
  listen(options: ListenOptions): Promise<AddressInfo> {
    return new Promise((resolve, reject) => {
      // A client may end its half of the connection as soon as its request is out.
      const server = createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
      server.once("error", reject);
      server.listen(options, () => {
        server.off("error", reject);
        // A failed accept (no file descriptors left) must not end the process.
        server.on("error", () => this.#config.onProtection?.("accept failed"));
        this.#listeners.push(server);
        if (this.#unref) server.unref();
        const address = server.address();
        resolve(
          typeof address === "object" && address !== null
            ? address
            : { address: address ?? "", family: "unix", port: 0 },
        );
      });
    });
  }

  /**
   * The key, certificates and roots for new handshakes; open connections go on. Always give the full set: `ca` too.
   * Versions, ciphers, curves and signature algorithms stay as in `tls` unless given.
   */
  setSecureContext(options: SecureContextOptions): void {
    this.#acceptor.setSecureContext(options);
  }

  /** From now on neither what it listens on nor its connections keep the process alive, present and future ones. */
  unref(): void {
    this.#unref = true;
    for (const server of this.#listeners) server.unref();
    this.#reaper.list.forEach((c) => {
      c.raw.unref();
    });
  }

  /** Destroys all connections that hold no exchange, those that haven't said what they speak among them. */
  closeIdle(): void {
    this.#reaper.list.forEach((c) => {
      if (c.active === 0 && c.stage !== "opaque") c.destroy();
    });
  }

  /** No new exchanges on the connections there are; new connections are served, and drain at once. Goes on listening. */
  drain(): void {
    this.#acceptor.draining = true;
    this.#reaper.list.forEach((c) => {
      this.#acceptor.drain(c);
    });
  }

  /**
   * Stops listening, drains, and resolves when the last connection is gone. What is left after `deadlineMs` is destroyed; by
   * default nothing is.
   */
  close(deadlineMs = Number.POSITIVE_INFINITY): Promise<void> {
    for (const server of this.#listeners.splice(0)) server.close();
    this.drain();
    return new Promise((resolve) => {
      const { clock } = this.#config;
      const timer = deadlineMs < Number.POSITIVE_INFINITY ? clock.setTimer(() => this.destroy(), deadlineMs) : null;
      const before = this.#whenEmpty;
      this.#whenEmpty = () => {
        before?.();
        if (timer !== null) clock.clearTimer(timer);
        this.#acceptor.closed = true;
        this.#reaper.stop();
        resolve();
      };
      if (this.connections === 0) this.#onEmpty();
    });
  }

  /** Stops listening and destroys all connections. */
  destroy(): void {
    for (const server of this.#listeners.splice(0)) server.close();
    this.#acceptor.closed = true;
    this.#reaper.list.forEach((c) => {
      c.destroy();
    });
    if (this.connections === 0) this.#reaper.stop();
  }

  /** Visits every connection. Not for the path of a request: for bundle changes and lists. */
  forEachConnection(visit: (connection: Connection) => void): void {
    this.#reaper.list.forEach(visit);
  }

  /**
   * Ends a connection of this server before `epochMs`: it drains up to a minute before, and is destroyed just before. For the expiry of
   * the peer's certificate, which nothing else looks at after the handshake. Only ever brings the end forward.
   */
  expireAt(connection: Connection, epochMs: number): void {
    if (connection instanceof AcceptedConnection) this.#reaper.expireAt(connection, epochMs);
  }

  #onEmpty(): void {
    const whenEmpty = this.#whenEmpty;
    this.#whenEmpty = null;
    whenEmpty?.();
  }
}
