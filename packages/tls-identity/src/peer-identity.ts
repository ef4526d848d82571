import { hash } from "node:crypto";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { BoundedCache } from "./bounded-cache.js";
import { IdentityError } from "./identity-error.js";
import type { SpiffeId } from "./spiffe-id.js";
import { admitLeaf, type VerifiedLeaf, verifyLeaf } from "./verify.js";

/** How {@link peerIdentity} looks at a socket. */
export interface PeerIdentityOptions {
  /**
   * Trust domain whose DNS-form ids (Linkerd's) are accepted beside SPIFFE ids. Set it only where no other domain is federated: name
   * constraints on URIs leave DNS names free.
   *
   * @defaultValue none: a leaf without a SPIFFE id is refused
   */
  readonly dnsTrustDomain?: string;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
}

/** Who is at the other end of a connection. */
export interface PeerIdentity {
  readonly id: SpiffeId;
  /** When the proof ends, in milliseconds since 1970; the connection must end before. */
  readonly notAfter: number;
}

const verdicts = new BoundedCache<string, VerifiedLeaf | IdentityError>(1024);

/**
 * Who the peer of an established connection is: the leaf gate. Call it once per connection, on the server at
 * `secureConnection`, before the first byte is used; where it throws, destroy the socket.
 *
 * Demands that the chain was verified in this very handshake (`socket.authorized`, not resumed, TLS 1.3), so it refuses sockets
 * of a server that was not set up by `serverTlsOptions`. Verdicts on a leaf's form are kept by fingerprint, at most 2048; dates are
 * compared every time. Throws {@link IdentityError} with a reason `tls-…`, `leaf-…`, `der-…` or `certificate-…`.
 */
export function peerIdentity(socket: TLSSocket, options?: PeerIdentityOptions): PeerIdentity {
  if (socket.authorized !== true)
    throw new IdentityError("tls-not-authorized", "the peer's certificate chain was not verified");
  if (socket.isSessionReused())
    throw new IdentityError("tls-session-resumed", "a resumed session proves nothing about certificates");
  if (socket.getProtocol() !== "TLSv1.3") throw new IdentityError("tls-version", "the connection is not TLS 1.3");
  // Not getPeerX509Certificate: that takes the peer's chain off the connection on Node 20 and 24, and three times as long.
  const raw = (socket.getPeerCertificate() as Partial<PeerCertificate> | null)?.raw;
  if (raw === undefined) throw new IdentityError("tls-no-certificate", "the peer sent no certificate");
  const leaf = leafOf(raw);
  admitLeaf(leaf, { now: options?.now?.() ?? Date.now(), dnsTrustDomain: options?.dnsTrustDomain });
  return { id: leaf.id, notAfter: leaf.notAfter };
}

/** The verdict on a leaf's form, from the cache if it was met before. Throws the same {@link IdentityError} again. */
export function leafOf(der: Uint8Array): VerifiedLeaf {
  const fingerprint = hash("sha256", der, "base64");
  let verdict = verdicts.get(fingerprint);
  if (verdict === undefined) {
    try {
      verdict = verifyLeaf(der);
    } catch (error) {
      if (!IdentityError.is(error)) throw error;
      verdict = error;
    }
    verdicts.set(fingerprint, verdict);
  }
  if (IdentityError.is(verdict)) throw verdict;
  return verdict;
}
