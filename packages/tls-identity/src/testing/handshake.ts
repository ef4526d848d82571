import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { IdentityError } from "../identity-error.js";
import type { IdentitySnapshot } from "../identity-source.js";
import { peerIdentity } from "../peer-identity.js";
import type { SpiffeId } from "../spiffe-id.js";
import { clientTlsOptions, serverTlsOptions } from "../tls-options.js";
import type { BadMaterial } from "./bad-leaf.js";

/** What a peer uses in a test handshake instead of an identity of ours. */
export interface RawPeer {
  readonly material: BadMaterial | null;
  readonly tls?: { readonly minVersion?: "TLSv1.2"; readonly maxVersion?: "TLSv1.2" } | undefined;
}

/** `accepted <id>`, or the reason for the refusal: an `IdentityReason`, or OpenSSL's or Node's code. */
export type Verdict = string;

/** What a server with this snapshot says to a peer that connects. */
export async function verdictOfServer(snapshot: IdentitySnapshot, peer: RawPeer): Promise<Verdict> {
  const server = createServer(serverTlsOptions(snapshot));
  const port = await listen(server);
  try {
    return await new Promise((resolve) => {
      server.on("secureConnection", (socket) => {
        socket.on("error", () => {});
        resolve(verdictOn(() => `accepted ${peerIdentity(socket).id}`));
        socket.destroy();
      });
      server.on("tlsClientError", (error, socket) => {
        socket.on("error", () => {});
        resolve(reasonOf(socket.authorizationError ?? error));
      });
      const socket = connect({
        host: "127.0.0.1",
        port,
        rejectUnauthorized: false,
        servername: "",
        ...rawOptions(peer),
      });
      socket.on("error", () => {});
      socket.resume();
    });
  } finally {
    server.close();
  }
}

/** What a client with this snapshot says to a peer that it connects to, expecting an id. */
export async function verdictOfClient(snapshot: IdentitySnapshot, expected: SpiffeId, peer: RawPeer): Promise<Verdict> {
  const server = createServer({ ...rawOptions(peer), requestCert: true, rejectUnauthorized: false });
  server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
  server.on("secureConnection", (socket) => socket.on("error", () => {}).resume());
  const port = await listen(server);
  let socket: TLSSocket | undefined;
  try {
    return await new Promise((resolve) => {
      const opened = connect({ host: "127.0.0.1", port, ...clientTlsOptions(snapshot, expected) });
      socket = opened;
      opened.once("secureConnect", () => resolve(verdictOn(() => `accepted ${peerIdentity(opened).id}`)));
      opened.on("error", (error) => resolve(reasonOf(error)));
    });
  } finally {
    socket?.destroy();
    server.close();
  }
}

function rawOptions(peer: RawPeer) {
  const { material } = peer;
  // The lowest security level, so that what is weak is refused by the other side and not by ours.
  return {
    ...(material && { cert: material.chainPem, key: material.keyPem }),
    ciphers: "DEFAULT@SECLEVEL=0",
    ...peer.tls,
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

function verdictOn(judge: () => string): Verdict {
  try {
    return judge();
  } catch (error) {
    return reasonOf(error);
  }
}

function reasonOf(error: unknown): Verdict {
  if (IdentityError.is(error)) return error.reason;
  return typeof error === "string" ? error : String((error as { code?: unknown }).code ?? error);
}
