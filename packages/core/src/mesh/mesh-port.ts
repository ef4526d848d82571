import type { TLSSocket } from "node:tls";
import { type Connection, HttpServer, type Service, type Sink } from "@selvage/http2";
import { IdentityError, type IdentitySource, peerIdentity, serverTlsOptions } from "@selvage/tls-identity";
import { MeshExchange, type Peer } from "../exchange.js";

export interface MeshPortOptions {
  readonly identity: IdentitySource;
  readonly service: Service;
  /** Whether connections without TLS are served; policy then decides about requests that have no peer. */
  readonly plaintext: boolean;
  readonly onProtection: (reason: string) => void;
  /** A peer could not prove who it is, and why; the connection was ended. */
  readonly onRefusedPeer: (reason: string, remoteAddress: string) => void;
}

/**
 * A port of the mesh: mutual TLS, and what comes in plain if that is allowed. Who the peer is, is established once for each
 * connection. A connection ends before the certificate that opened it does, no later than this workload's own, and at once when the
 * peer's trust domain is believed no more.
 */
export function createMeshPort(options: MeshPortOptions): { readonly server: HttpServer; close(): void } {
  const { identity, onRefusedPeer } = options;
  const snapshot = identity.current;
  if (snapshot === null) throw new Error("a mesh port needs an identity");
  const server: HttpServer = new HttpServer({
    service: new PeerEntry(options.service),
    newExchange,
    tls: serverTlsOptions(snapshot),
    plaintext: options.plaintext,
    onProtection: options.onProtection,
    restoreHttp1: (connection) => connection.context !== null,
    onTlsError: (error, authorizationError, remoteAddress) =>
      onRefusedPeer(authorizationError ?? (error as NodeJS.ErrnoException).code ?? "tls-handshake", remoteAddress),
    onConnection(connection: Connection): boolean {
      if (!connection.encrypted) return true;
      try {
        const { id, notAfter } = peerIdentity(connection.socket as TLSSocket);
        // The bundle may have gone since the handshake began.
        if (identity.current?.bundles.has(id.trustDomain) === false)
          throw new IdentityError("bundle-missing", `${id.trustDomain} is believed no more`);
        connection.context = id satisfies Peer;
        server.expireAt(connection, Math.min(notAfter, identity.current?.notAfter ?? notAfter));
        return true;
      } catch (error) {
        onRefusedPeer(IdentityError.is(error) ? error.reason : "internal", connection.remoteAddress);
        return false;
      }
    },
  });
  const unsubscribe = identity.subscribe((next) => {
    server.setSecureContext(serverTlsOptions(next));
    // A trust domain whose bundle is withdrawn is not believed from now on, by connections that are open either.
    server.forEachConnection((connection) => {
      const peer = connection.context as Peer | null;
      if (peer === null || next.bundles.has(peer.trustDomain)) return;
      onRefusedPeer("bundle-missing", connection.remoteAddress);
      connection.destroy();
    });
  });
  return { server, close: unsubscribe };
}

function newExchange(): MeshExchange {
  return new MeshExchange("inbound");
}

/** Gives each exchange the peer that its connection belongs to. */
class PeerEntry implements Service {
  readonly #inner: Service;

  constructor(inner: Service) {
    this.#inner = inner;
  }

  call(x: MeshExchange, sink: Sink): void {
    x.peer = x.connection!.context as Peer | null;
    this.#inner.call(x, sink);
  }
}
