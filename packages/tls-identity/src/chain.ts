import { X509Certificate } from "node:crypto";
import { readRoots } from "./anchors.js";
import { isAuthority } from "./authority.js";
import { basicConstraintsOf, type Certificate, readCertificate } from "./certificate.js";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";

const maxChainLength = 10;

/**
 * Verifies a chain that came as data (from a file, an agent, an authority), leaf first, up to a root of one trust domain: names,
 * signatures, dates, CA flags, key usage and path lengths. Not for peers of a connection: there OpenSSL does it, and Node's
 * report of a peer's chain cannot be relied on. Name constraints and revocation are not looked at.
 *
 * Throws {@link IdentityError} with a reason `chain-…` or `bundle-…`.
 */
export function verifyChain(chain: readonly Uint8Array[], bundle: TrustBundle, now: number): void {
  if (chain.length === 0 || chain.length > maxChainLength) {
    throw new IdentityError("chain-empty", `a chain of ${chain.length} certificates`);
  }
  const links = chain.map((der) => link(der));
  const roots = readRoots(bundle).map((root) => link(root.raw, root));
  for (let i = 0; i < links.length; i++) {
    requireValidNow(links[i]!, now);
    if (i > 0) requireSigned(links[i - 1]!, links[i]!, i - 1);
  }
  const last = links.at(-1)!;
  const depth = links.length - 1;
  let problem: unknown;
  for (const root of roots) {
    if (last.x509.raw.equals(root.x509.raw)) return;
    if (!last.x509.checkIssued(root.x509) || !last.x509.verify(root.x509.publicKey)) continue;
    try {
      requireValidNow(root, now);
      requirePathLength(root, depth);
      return;
    } catch (error) {
      // Another root may have the same name and key, and a longer life.
      problem = error;
    }
  }
  throw problem ?? new IdentityError("chain-untrusted", `the chain does not end at a root of ${bundle.trustDomain}`);
}

interface Link {
  readonly certificate: Certificate;
  readonly x509: X509Certificate;
}

function link(der: Uint8Array, certificate = readCertificate(der)): Link {
  try {
    return { certificate, x509: new X509Certificate(der) };
  } catch (cause) {
    throw new IdentityError("certificate-malformed", "OpenSSL cannot read the certificate", { cause });
  }
}

function requireValidNow(one: Link, now: number): void {
  const { notBefore, notAfter } = one.certificate;
  if (now < notBefore || now > notAfter) {
    const span = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
    throw new IdentityError("chain-expired", `a certificate of the chain is valid from ${span}, not now`);
  }
}

function requireSigned(child: Link, issuer: Link, below: number): void {
  if (!isAuthority(issuer.certificate))
    throw new IdentityError("chain-not-authority", "an issuer in the chain may not sign");
  requirePathLength(issuer, below);
  if (!child.x509.checkIssued(issuer.x509) || !child.x509.verify(issuer.x509.publicKey)) {
    throw new IdentityError("chain-signature", "a certificate of the chain is not signed by the next one");
  }
}

function requirePathLength(issuer: Link, below: number): void {
  const { pathLength } = basicConstraintsOf(issuer.certificate);
  if (pathLength !== null && below > pathLength) {
    throw new IdentityError("chain-path-length", `${below} authorities below one that allows ${pathLength}`);
  }
}
