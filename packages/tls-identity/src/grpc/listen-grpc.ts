import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket } from "node:tls";
import { type Server, ServerCredentials } from "@grpc/grpc-js";
import type { IdentitySource } from "../identity-source.js";
import { leafOf, peerIdentity } from "../peer-identity.js";
import type { SpiffeId } from "../spiffe-id.js";
import { serverTlsOptions } from "../tls-options.js";
import { admitLeaf } from "../verify.js";
import { endAt } from "./end-at.js";

/** Options of {@link listenGrpc}. */
export interface GrpcListenerOptions {
  /** @defaultValue all addresses */
  readonly host?: string;
  /** @defaultValue any that is free */
  readonly port?: number;
  /** Told why a peer was refused: an `IdentityReason`, or OpenSSL's code. */
  readonly onRefused?: (reason: string) => void;
}

/** A port that {@link listenGrpc} opened. */
export interface GrpcListener {
  readonly port: number;
  /** Stops listening and drains; what is in flight after `graceMs` is cut. The grpc-js server stays as it is. @defaultValue 10000 */
  close(graceMs?: number): Promise<void>;
}

const handshakeTimeoutMs = 10_000;
// How long before its end a connection drains: at most this, at most a quarter of what is left.
const maxDrainMs = 30_000;
const defaultGraceMs = 10_000;

/**
 * A port for a server of grpc-js, instead of its `bindAsync`, that follows an identity source: mutual TLS with the SVID of the moment,
 * a caller's certificate demanded and checked before its first byte is read; {@link peerOfGrpcCall} says whose it is. Connections
 * drain before the first of the two certificates ends, and are gone by then. Any number of ports may lead to one server.
 *
 * Says nothing about what a caller may do.
 */
export async function listenGrpc(
  server: Server,
  source: IdentitySource,
  options: GrpcListenerOptions = {},
): Promise<GrpcListener> {
  const snapshot = await source.ready();
  const injector = () => server.createConnectionInjector(ServerCredentials.createInsecure());
  const open = new Map<TLSSocket, ReturnType<typeof injector>>();
  const refuse = (reason: unknown) => options.onRefused?.(String(reason));
  const listener = createServer({
    ...serverTlsOptions(snapshot),
    ALPNProtocols: ["h2"],
    handshakeTimeout: handshakeTimeoutMs,
  });
  listener.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    socket.on("error", () => {});
    refuse(socket.authorizationError ?? error.code ?? "tls-handshake");
  });
  listener.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    try {
      const peer = peerIdentity(socket);
      const endsAt = Math.min(peer.notAfter, source.current?.notAfter ?? peer.notAfter);
      // One each, since only all connections of an injector can be drained together.
      const own = injector();
      open.set(socket, own);
      socket.once("close", () => {
        open.delete(socket);
        own.destroy();
      });
      const drainMs = Math.min(maxDrainMs, Math.max(0, endsAt - Date.now()) / 4);
      endAt(socket, endsAt - drainMs, () => own.drain(drainMs));
      endAt(socket, endsAt, () => socket.destroy());
      own.injectConnection(socket);
    } catch (error) {
      refuse((error as { readonly reason?: string }).reason ?? "internal");
      socket.destroy();
    }
  });
  const unsubscribe = source.subscribe((next) => listener.setSecureContext(serverTlsOptions(next)));
  listener.listen(options.port ?? 0, options.host);
  await once(listener, "listening");
  listener.on("error", () => {});
  return {
    port: (listener.address() as AddressInfo).port,
    close: async (graceMs = defaultGraceMs) => {
      unsubscribe();
      const closed = new Promise((resolve) => listener.close(resolve));
      for (const one of open.values()) one.drain(graceMs);
      await closed;
    },
  };
}

/**
 * Who made a call that a server of grpc-js handles; null if it did not come through {@link listenGrpc}, or through nothing that
 * demands a certificate. Takes the call of a handler. Reads the certificate of the connection, whose verdict is kept.
 */
export function peerOfGrpcCall(call: {
  getAuthContext(): { readonly sslPeerCertificate?: { readonly raw: Uint8Array } };
}): SpiffeId | null {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) return null;
  try {
    const leaf = leafOf(raw);
    admitLeaf(leaf, { now: Date.now() });
    return leaf.id;
  } catch {
    return null;
  }
}
