import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import type { AcceptedConnection } from "./accepted-connection.js";
import type { AlpnOffer } from "./client-hello.js";

export interface TlsTerminatorListener {
  /** The handshake is done, and the peer's certificate accepted if one was asked for. */
  onSecure(c: AcceptedConnection, socket: TLSSocket): void;
  onFailure(c: AcceptedConnection | null, error: Error, authorizationError: string | undefined): void;
}

const connectionOf = Symbol("selvage.connection");
type OwnedSocket = Socket & { [connectionOf]?: AcceptedConnection };
type Alpn = NonNullable<TlsOptions["ALPNCallback"]>;

const answerHttp: Alpn = ({ protocols }) =>
  protocols.includes("h2") ? "h2" : protocols.includes("http/1.1") ? "http/1.1" : undefined;

/**
 * Ends TLS on sockets that others accepted. `tls.Server` does it, fed by 'connection' events, since the check of client
 * certificates is in its listener: a bare `TLSSocket` enforces nothing.
 *
 * There are two servers, one of which knows no ALPN, because Node refuses a handshake whose ALPN names are all unknown.
 */
export class TlsTerminator {
  /** Whether `handshake` wants to know the client's ALPN offer. */
  readonly readsAlpn: boolean;
  readonly #options: TlsOptions;
  readonly #listener: TlsTerminatorListener;
  readonly #server: Server;
  readonly #withoutAlpn: Server;

  constructor(options: TlsOptions, handshakeTimeoutMs: number, listener: TlsTerminatorListener) {
    this.#options = options;
    this.#listener = listener;
    this.readsAlpn = options.ALPNProtocols === undefined && options.ALPNCallback === undefined;
    const complete = { ...this.#hardened(options), handshakeTimeout: handshakeTimeoutMs };
    this.#withoutAlpn = this.#createServer(complete);
    this.#server = this.readsAlpn ? this.#createServer({ ...complete, ALPNCallback: answerHttp }) : this.#withoutAlpn;
  }

  handshake(c: AcceptedConnection, offer: AlpnOffer): void {
    (c.raw as OwnedSocket)[connectionOf] = c;
    (offer === "other" ? this.#withoutAlpn : this.#server).emit("connection", c.raw);
  }

  /** For new handshakes. @throws when the options can't be used; the former ones stay in force then. */
  setSecureContext(options: SecureContextOptions): void {
    if (this.#options.requestCert === true && this.#options.ca !== undefined && options.ca === undefined) {
      throw new TypeError(
        "setSecureContext: ca is missing, so that the system's roots would decide: pass the full set",
      );
    }
    const complete = this.#hardened(options);
    this.#server.setSecureContext(complete);
    if (this.#withoutAlpn !== this.#server) this.#withoutAlpn.setSecureContext(complete);
  }

  /** `setSecureContext` replaces everything: what it isn't given falls back to Node's defaults, TLS 1.2 among them. */
  #hardened<T extends SecureContextOptions>(options: T): T {
    const { minVersion, maxVersion, ciphers, ecdhCurve, sigalgs } = this.#options;
    const complete: SecureContextOptions = { ...options };
    if (minVersion !== undefined) complete.minVersion ??= minVersion;
    if (maxVersion !== undefined) complete.maxVersion ??= maxVersion;
    if (ciphers !== undefined) complete.ciphers ??= ciphers;
    if (ecdhCurve !== undefined) complete.ecdhCurve ??= ecdhCurve;
    if (sigalgs !== undefined) complete.sigalgs ??= sigalgs;
    complete.secureOptions = (options.secureOptions ?? this.#options.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET;
    return complete as T;
  }

  #createServer(options: TlsOptions): Server {
    const server = createServer(options);
    server.on("error", ignore);
    server.on("secureConnection", (socket) => {
      socket.on("error", ignore);
      const c = ownerOf(socket);
      if (c === null) socket.destroy();
      else this.#listener.onSecure(c, socket);
    });
    server.on("tlsClientError", (error, socket) => {
      // Here it is a code ("CERT_HAS_EXPIRED"), whatever the types say, and the only trace of why a peer was refused.
      const reason: unknown = socket.authorizationError;
      this.#listener.onFailure(ownerOf(socket), error, typeof reason === "string" ? reason : undefined);
      socket.destroy();
    });
    return server;
  }
}

/** `_parent` is the wrapped socket in every Node since 0.12. Without it the connection is refused. */
function ownerOf(socket: TLSSocket): AcceptedConnection | null {
  const raw = (socket as unknown as { _parent?: OwnedSocket })._parent;
  return raw?.[connectionOf] ?? null;
}

function ignore(): void {}
