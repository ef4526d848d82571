import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { ServerUnaryCall, sendUnaryData } from "@grpc/grpc-js";
import { certifyPath, readCertifyRequest, writeCertifyResponse } from "../certify-rpc.js";
import { IdentityError, type IdentityReason } from "../identity-error.js";
import type { IdentitySnapshot } from "../identity-source.js";
import { leafOf, peerIdentity } from "../peer-identity.js";
import type { SpiffeId } from "../spiffe-id.js";
import { serverTlsOptions } from "../tls-options.js";
import { admitLeaf } from "../verify.js";
import type { IdentityService } from "./identity-service.js";
import { ownIdentity } from "./own-identity.js";

/** Options of {@link serveIdentity}. */
export interface IdentityServerOptions {
  readonly service: IdentityService;
  /** Who the service is to its callers: their `serverId`. An SVID for it is issued by the service's own issuer. */
  readonly id: SpiffeId;
  /** @defaultValue all addresses */
  readonly host?: string;
  /** @defaultValue 8080, as Linkerd's; 0 for any */
  readonly port?: number;
  /** Lifetime of the service's own SVID. @defaultValue 1 h */
  readonly ownLifetimeMs?: number;
}

/** A running identity service. */
export interface IdentityServer {
  readonly port: number;
  close(): Promise<void>;
}

const defaultPort = 8080;
const handshakeTimeoutMs = 10_000;
const maxConnections = 4096;
const maxMessageBytes = 32_768;

// gRPC status codes as Linkerd's identity controller chooses them; tokens and rules fail as FAILED_PRECONDITION.
const statusOf: Partial<Record<IdentityReason, number>> = {
  "rate-limited": 8,
  "token-refused": 9,
  "rule-refused": 9,
  "csr-identity": 9,
  "csr-extension": 9,
  "csr-proof-of-possession": 9,
  "authority-mismatch": 9,
  "authority-expired": 14,
  "certify-failed": 13,
  "file-write": 13,
};
const invalidArgument = 3;

/**
 * Serves an identity service over gRPC and TLS 1.3. Callers need no certificate, but one that they show must be good. Waits for the issuer
 * to be loaded; rejects if it can't be, since nobody could believe the server.
 *
 * Loads @grpc/grpc-js when it is called, not before.
 */
export async function serveIdentity(options: IdentityServerOptions): Promise<IdentityServer> {
  const { service, id } = options;
  const grpc = await import("@grpc/grpc-js");
  await service.loaded();
  if (service.issuer === null) throw new IdentityError("authority-expired", service.status.blockers.join(", "));
  const own = ownIdentity(service, id, options.ownLifetimeMs);
  const server = new grpc.Server({
    "grpc.max_receive_message_length": maxMessageBytes,
    "grpc.max_connection_idle_ms": 60_000,
    "grpc.max_connection_age_ms": 300_000,
    "grpc.max_connection_age_grace_ms": 10_000,
    "grpc.max_concurrent_streams": 100,
  });
  const same = (message: Buffer) => message;
  server.register(
    certifyPath,
    (call: Call, respond: Respond) => void certify(service, call, respond),
    same,
    same,
    "unary",
  );
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const listener = createServer({ ...listenerOptions(await own.ready()), handshakeTimeout: handshakeTimeoutMs });
  listener.maxConnections = maxConnections;
  listener.on("secureConnection", (socket) => {
    socket.on("error", () => {});
    if (hasGoodCertificateOrNone(socket)) injector.injectConnection(socket);
    else socket.destroy();
  });
  listener.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
  const endOwn = own.subscribe((snapshot) => listener.setSecureContext(listenerOptions(snapshot)));
  listener.listen(options.port ?? defaultPort, options.host);
  await once(listener, "listening");
  listener.on("error", () => {});
  return {
    port: (listener.address() as AddressInfo).port,
    close: async () => {
      endOwn();
      own.close();
      listener.close();
      injector.drain(0);
      injector.destroy();
      server.forceShutdown();
    },
  };
}

type Call = ServerUnaryCall<Buffer, Buffer>;
type Respond = sendUnaryData<Buffer>;

function listenerOptions(snapshot: IdentitySnapshot): TlsOptions {
  // A workload without a certificate yet must be able to come in; whoever shows one is judged by hasGoodCertificateOrNone.
  return { ...serverTlsOptions(snapshot), rejectUnauthorized: false, ALPNProtocols: ["h2"] };
}

function hasGoodCertificateOrNone(socket: TLSSocket): boolean {
  try {
    if (socket.getPeerX509Certificate() === undefined) return true;
    peerIdentity(socket);
    return true;
  } catch {
    return false;
  }
}

async function certify(service: IdentityService, call: Call, respond: Respond): Promise<void> {
  const abort = new AbortController();
  call.on("cancelled", () => abort.abort());
  try {
    const response = await service.certify(readCertifyRequest(call.request), {
      peer: peerOf(call),
      address: call.getPeer(),
      signal: abort.signal,
    });
    respond(null, writeCertifyResponse(response));
  } catch (error) {
    const code = IdentityError.is(error) ? (statusOf[error.reason] ?? invalidArgument) : 13;
    // What went wrong inside is for the audit; the caller learns what it did wrong.
    respond({ code, details: IdentityError.is(error) && code !== 13 ? error.message : "internal error" });
  }
}

function peerOf(call: Call): SpiffeId | null {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) return null;
  const leaf = leafOf(raw);
  admitLeaf(leaf, { now: Date.now() });
  return leaf.id;
}
