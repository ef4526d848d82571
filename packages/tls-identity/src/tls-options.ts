import { constants, hash } from "node:crypto";
import { type ConnectionOptions, createSecureContext, type SecureContext, type TlsOptions } from "node:tls";
import { constrainedAnchors } from "./anchors.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySnapshot } from "./identity-source.js";
import { exportPrivateKeyPem } from "./key.js";
import { leafOf } from "./peer-identity.js";
import { writeCertificatesPem } from "./pem.js";
import type { SpiffeId } from "./spiffe-id.js";
import { admitLeaf } from "./verify.js";

const serverOptions = new WeakMap<IdentitySnapshot, TlsOptions>();
const clientContexts = new WeakMap<IdentitySnapshot, Map<string, SecureContext>>();

/**
 * What a `tls.Server` of this workload needs: TLS 1.3 only, a certificate demanded of every client, trust in the snapshot's bundles,
 * each for its own trust domain only. For `tls.createServer`, and at every rotation for `server.setSecureContext`, which
 * keeps nothing of what it isn't given again.
 *
 * Sessions are never resumed, since a resumed one skips every check of certificates. Chains are checked here, leaves are not:
 * call `peerIdentity` on every socket of `secureConnection` before the first byte is used. Connections that are open stay
 * open when certificates expire or bundles shrink: ending them is the caller's.
 *
 * The object is frozen and the same for every call with one snapshot.
 */
export function serverTlsOptions(snapshot: IdentitySnapshot): TlsOptions {
  let options = serverOptions.get(snapshot);
  if (options === undefined) {
    options = Object.freeze<TlsOptions>({
      key: exportPrivateKeyPem(snapshot.key),
      cert: snapshot.chainPem,
      ca: constrainedAnchors(snapshot.bundles),
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
      requestCert: true,
      rejectUnauthorized: true,
      secureOptions: constants.SSL_OP_NO_TICKET,
      // Should resumption ever be possible, then not across identities or generations (CVE-2026-123872).
      sessionIdContext: hash("sha256", `${snapshot.id} ${snapshot.generation} ${snapshot.chainPem}`, "hex").slice(
        0,
        32,
      ),
      ALPNProtocols: ["h2", "http/1.1"],
    });
    serverOptions.set(snapshot, options);
  }
  return options;
}

/**
 * What `tls.connect` needs to reach one peer, and nobody else: TLS 1.3 only, this workload's certificate, trust in the roots of the
 * expected id's trust domain alone, and the leaf gate with the expected id. No session, no ALPN, and no server name, except
 * for Linkerd's DNS-form ids, whose proxies want their name. Add `host` and `port`, or `socket`.
 *
 * `secureConnect` does not say that the peer accepted *us*: in TLS 1.3 its refusal comes after, as a bare close. The secure
 * context is shared by all connections of one snapshot and trust domain. Throws `bundle-missing` if that domain isn't trusted at all.
 */
export function clientTlsOptions(snapshot: IdentitySnapshot, expected: SpiffeId): ConnectionOptions {
  return {
    // Versions are the context's: beside one, options of that name count for nothing.
    secureContext: clientContext(snapshot, expected.trustDomain),
    rejectUnauthorized: true,
    servername: expected.kind === "dns" ? expected.toString() : "",
    checkServerIdentity: (_host, certificate) => {
      try {
        admitLeaf(leafOf(certificate.raw), { now: Date.now(), expected, dnsTrustDomain: expected.trustDomain });
        return undefined;
      } catch (error) {
        return error instanceof Error
          ? error
          : new IdentityError("certificate-malformed", "the peer's leaf cannot be read");
      }
    },
  };
}

function clientContext(snapshot: IdentitySnapshot, trustDomain: string): SecureContext {
  let contexts = clientContexts.get(snapshot);
  if (contexts === undefined) {
    contexts = new Map();
    clientContexts.set(snapshot, contexts);
  }
  let context = contexts.get(trustDomain);
  if (context === undefined) {
    const bundle = snapshot.bundles.get(trustDomain);
    if (bundle === undefined)
      throw new IdentityError("bundle-missing", `no trust bundle for ${trustDomain}: its workloads cannot be verified`);
    const key = exportPrivateKeyPem(snapshot.key);
    context = createSecureContext({
      key,
      cert: snapshot.chainPem,
      ca: writeCertificatesPem(bundle.roots),
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
    });
    key.fill(0);
    contexts.set(trustDomain, context);
  }
  return context;
}
