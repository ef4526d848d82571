import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import { CallCredentials, ChannelCredentials, type ChannelOptions } from "@grpc/grpc-js";
import { IdentityError } from "../identity-error.js";
import type { IdentitySource } from "../identity-source.js";
import { peerIdentity } from "../peer-identity.js";
import type { SpiffeId } from "../spiffe-id.js";
import { clientTlsOptions } from "../tls-options.js";
import { endAt } from "./end-at.js";

/**
 * Credentials for a channel of grpc-js that follow an identity source: each connection is made with the SVID and the bundles
 * of its moment, and its server must be `expected`. One channel goes on through all rotations; its address needs no name in
 * common with the id.
 *
 * A connection is cut just before the first of the two certificates ends, since grpc-js lets nobody drain it from outside: calls
 * in flight then fail with UNAVAILABLE. Servers that drain before that, as those of {@link listenGrpc} do, spare them this.
 * While the source has no identity yet, connections wait for it.
 */
export function grpcChannelCredentials(source: IdentitySource, expected: SpiffeId): ChannelCredentials {
  return new IdentityChannelCredentials(source, expected);
}

class IdentityChannelCredentials extends ChannelCredentials {
  readonly #source: IdentitySource;
  readonly #expected: SpiffeId;

  constructor(source: IdentitySource, expected: SpiffeId) {
    super();
    this.#source = source;
    this.#expected = expected;
  }

  override _isSecure(): boolean {
    return true;
  }

  /** What is equal may share connections. */
  override _equals(other: ChannelCredentials): boolean {
    return (
      other instanceof IdentityChannelCredentials &&
      other.#source === this.#source &&
      other.#expected === this.#expected
    );
  }

  override _createSecureConnector(
    _target: unknown,
    _options: ChannelOptions,
    callCredentials?: CallCredentials,
  ): ReturnType<ChannelCredentials["_createSecureConnector"]> {
    const source = this.#source;
    const expected = this.#expected;
    const ofCalls = callCredentials ?? CallCredentials.createEmpty();
    return {
      connect: async (socket) => ({ socket: await secured(socket, source, expected), secure: true }),
      waitForReady: async () => {
        await source.ready();
      },
      getCallCredentials: () => ofCalls,
      destroy: () => {},
    };
  }
}

function secured(socket: Socket, source: IdentitySource, expected: SpiffeId): Promise<TLSSocket> {
  const snapshot = source.current;
  if (snapshot === null) throw new IdentityError("source-closed", "there is no identity to connect with");
  const options = clientTlsOptions(snapshot, expected);
  return new Promise((resolve, reject) => {
    const tls = connect({ ...options, socket, ALPNProtocols: ["h2"] });
    tls.once("secureConnect", () => {
      try {
        const peer = peerIdentity(tls, { dnsTrustDomain: expected.trustDomain });
        endAt(tls, Math.min(peer.notAfter, snapshot.notAfter), () => tls.destroy());
        resolve(tls);
      } catch (error) {
        tls.destroy();
        reject(error);
      }
    });
    tls.on("error", reject);
    tls.once("close", () => reject(new Error("the connection was closed during the handshake")));
  });
}
