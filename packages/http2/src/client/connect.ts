import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { type ExchangeError, isExchangeError } from "../exchange-error.js";
import { LentReads } from "../lent-reads.js";
import { connectError, connectTimeoutError, tlsOptionsError } from "./node-error.js";

/**
 * Opens one connection that is ready for HTTP: TLS done and verified. It calls back exactly once, unless cancelled by the
 * function it returns; after that it never does, and leaves nothing behind. `expiresAt` is in epoch milliseconds, or
 * Infinity. It must not throw.
 */
export type Connect = (
  callback: (error: ExchangeError | null, socket: Duplex | null, expiresAt: number) => void,
) => () => void;

export interface TcpConnectOptions {
  /** A name or an address. Names are resolved for each connection. */
  host: string;
  port: number;
  /** For everything up to a connection that is ready, TLS included. */
  timeoutMs: number;
  /** Idle time before TCP keep-alive probes, 0 for none. @defaultValue 10000 (as linkerd's chart) */
  keepAliveMs?: number;
  /** Reads past the socket's stream: for sockets that only an `EndpointClient` reads. @defaultValue false */
  lent?: boolean;
}

export interface TlsConnectOptions extends TcpConnectOptions {
  /**
   * Asked anew for each connection, so that a rotated key is used at once. Throw when there is no identity yet. A `session`
   * in it is ignored: resumption skips all checks of the peer's certificate.
   */
  tls: () => ConnectionOptions;
  /** A last look at the peer after the handshake: an error refuses it. Throwing does too. */
  verify?(socket: TLSSocket): ExchangeError | null;
  /** When the connection has to end: the first expiry of the certificates that opened it, in epoch milliseconds. */
  expiresAt?(socket: TLSSocket): number;
}

const defaultKeepAliveMs = 10_000;

/** A `Connect` for plain TCP. */
export function tcpConnect(options: TcpConnectOptions): Connect {
  const { host, port } = options;
  return (callback) => {
    const attempt = new Attempt(options, callback);
    attempt.watch(
      (onread) => connectTcp({ host, port, ...onread }),
      "connect",
      () => attempt.succeed(Number.POSITIVE_INFINITY),
    );
    return attempt.cancel;
  };
}

/** A `Connect` for TLS over TCP. */
export function tlsConnect(options: TlsConnectOptions): Connect {
  const { host, port } = options;
  // Node warns about an address as the server name (RFC 6066, section 3), and takes the host when there is none.
  const servername = isIP(host) === 0 ? host : "";
  return (callback) => {
    const attempt = new Attempt(options, callback);
    let given: ConnectionOptions;
    try {
      given = options.tls();
    } catch (error) {
      attempt.fail(isExchangeError(error) ? error : tlsOptionsError(error, attempt.target));
      return attempt.cancel;
    }
    // Not spread into options of our own: `session: undefined` isn't the same as no session to every version of Node.
    const { session: _, ...rest } = given;
    attempt.watch(
      (onread) => connectTls({ servername, ...rest, host, port, ...onread }),
      "secureConnect",
      (socket) => {
        try {
          const refusal = options.verify?.(socket as TLSSocket) ?? null;
          if (refusal !== null) attempt.fail(refusal);
          else attempt.succeed(options.expiresAt?.(socket as TLSSocket) ?? Number.POSITIVE_INFINITY);
        } catch (error) {
          attempt.fail(isExchangeError(error) ? error : connectError(error, attempt.target));
        }
      },
    );
    return attempt.cancel;
  };
}

/** One attempt, which ends once: by success, failure, timeout or cancellation. */
class Attempt {
  readonly target: string;
  readonly cancel = () => this.#cancel();
  readonly #callback: Parameters<Connect>[0];
  readonly #timer: NodeJS.Timeout;
  readonly #keepAliveMs: number;
  readonly #reads: LentReads | null;
  #socket: Socket | null = null;
  #over = false;

  constructor(options: TcpConnectOptions, callback: Parameters<Connect>[0]) {
    this.target = `${options.host}:${options.port}`;
    this.#callback = callback;
    this.#keepAliveMs = options.keepAliveMs ?? defaultKeepAliveMs;
    this.#reads = options.lent === true ? new LentReads() : null;
    this.#timer = setTimeout(() => this.fail(connectTimeoutError(this.target, options.timeoutMs)), options.timeoutMs);
  }

  watch(
    open: (onread: { onread?: OnReadOpts }) => Socket,
    ready: "connect" | "secureConnect",
    onReady: (socket: Socket) => void,
  ): void {
    let socket: Socket;
    try {
      socket = open(this.#reads === null ? {} : { onread: this.#reads.onread });
    } catch (error) {
      // Bad PEM, a port out of range: Node throws these synchronously.
      this.fail(tlsOptionsError(error, this.target));
      return;
    }
    this.#socket = socket;
    this.#reads?.bind(socket);
    // Set here, since `tls.connect` ignores the options of the same names.
    socket.setNoDelay(true);
    if (this.#keepAliveMs > 0) socket.setKeepAlive(true, this.#keepAliveMs);
    // The listener stays for the socket's whole life.
    socket.on("error", (error) => this.fail(connectError(error, this.target)));
    socket.once("close", () => this.fail(connectError({ code: "ECONNRESET" }, this.target)));
    socket.once(ready, () => {
      if (!this.#over) onReady(socket);
    });
  }

  succeed(expiresAt: number): void {
    if (this.#over) return;
    const socket = this.#finish();
    this.#callback(null, socket, expiresAt);
  }

  fail(error: ExchangeError): void {
    if (this.#over) return;
    this.#finish()?.destroy();
    // Never from inside `connect()`: callers may not have the cancel function yet.
    queueMicrotask(() => {
      if (!this.#cancelled) this.#callback(error, null, Number.POSITIVE_INFINITY);
    });
  }

  #cancelled = false;

  #cancel(): void {
    this.#cancelled = true;
    if (!this.#over) this.#finish()?.destroy();
  }

  #finish(): Socket | null {
    this.#over = true;
    clearTimeout(this.#timer);
    return this.#socket;
  }
}
