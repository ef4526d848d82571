import type { KeyObject } from "node:crypto";
import {
  altNamesOf,
  basicConstraintsOf,
  type Certificate,
  findExtension,
  keyUsageBit,
  keyUsageOf,
  oid,
  readCertificate,
  subjectKeyIdOf,
} from "./certificate.js";
import {
  buildCertificate,
  derAltNames,
  derAuthorityKeyId,
  derBasicConstraints,
  derDnsName,
  derKeyUsage,
  derName,
  derPurposes,
  derSubjectKeyId,
  derUriConstraint,
  derUriName,
} from "./certificate-builder.js";
import { type Der, encodeDer, parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import { exportSpki, generateKey } from "./key.js";
import { requireTrustDomain, type SpiffeId } from "./spiffe-id.js";

/** An authority: a certificate that may sign, and its private key. */
export interface Authority {
  readonly trustDomain: string;
  readonly certificate: Certificate;
  readonly key: KeyObject;
}

/** Validity of a certificate to be made. */
export interface Validity {
  /** Now, in milliseconds since 1970. */
  readonly now: number;
  readonly lifetimeMs: number;
}

/** How far in the past certificates begin, for peers whose clock is behind. */
export const clockSkewMs = 60_000;

/** A new root of a trust domain: P-256, self-signed. */
export function createRoot(trustDomain: string, validity: Validity): Authority {
  requireTrustDomain(trustDomain);
  const pair = generateKey();
  const spki = parseDer(exportSpki(pair.publicKey), 512);
  const name = derName(`root.${trustDomain}`);
  const der = buildCertificate({
    issuer: name,
    subject: name,
    spki,
    ...period(validity),
    extensions: [
      derBasicConstraints(true),
      derKeyUsage(keyUsageBit.keyCertSign, keyUsageBit.crlSign),
      derAltNames(false, derUriName(`spiffe://${trustDomain}`)),
      derSubjectKeyId(spki),
    ],
    signer: pair.privateKey,
  });
  return { trustDomain, certificate: readCertificate(der), key: pair.privateKey };
}

/**
 * A new issuer below a root: P-256, no authorities below it, and by a critical name constraint unable to sign for other trust
 * domains than its own. Never outlives the root.
 */
export function createIssuer(root: Authority, validity: Validity): Authority {
  const pair = generateKey();
  const spki = parseDer(exportSpki(pair.publicKey), 512);
  const der = buildCertificate({
    issuer: root.certificate.subject,
    subject: derName(`identity.${root.trustDomain}`),
    spki,
    ...period(validity, root.certificate),
    extensions: [
      derBasicConstraints(true, 0),
      derKeyUsage(keyUsageBit.keyCertSign, keyUsageBit.crlSign),
      derUriConstraint(root.trustDomain),
      derAltNames(false, derUriName(`spiffe://${root.trustDomain}`)),
      derSubjectKeyId(spki),
      derAuthorityKeyId(requireKeyId(root.certificate)),
    ],
    signer: root.key,
  });
  return { trustDomain: root.trustDomain, certificate: readCertificate(der), key: pair.privateKey };
}

/**
 * A leaf for a workload: ECDSA P-256, the id as the only name, for both sides of TLS, and nothing else. Never outlives the
 * issuer. Of a SPIFFE id the subject is empty and the SAN critical (X509-SVID section 2 and RFC 5280 section 4.1.2.6).
 *
 * Throws `authority-mismatch` if the id belongs to another trust domain than the issuer, `authority-expired`.
 */
export function issueLeaf(issuer: Authority, id: SpiffeId, spki: Der, validity: Validity): Buffer {
  if (id.trustDomain !== issuer.trustDomain) {
    throw new IdentityError("authority-mismatch", `an issuer of ${issuer.trustDomain} cannot sign ${id}`);
  }
  const text = id.toString();
  const name = id.kind === "dns" ? derDnsName(text) : derUriName(text);
  const der = buildCertificate({
    issuer: issuer.certificate.subject,
    subject: derName(),
    spki,
    ...period(validity, issuer.certificate),
    extensions: [
      derBasicConstraints(false),
      derKeyUsage(keyUsageBit.digitalSignature),
      derPurposes(oid.serverAuth, oid.clientAuth),
      derAltNames(true, name),
      derSubjectKeyId(spki),
      derAuthorityKeyId(requireKeyId(issuer.certificate)),
    ],
    signer: issuer.key,
  });
  // What was encoded is what was authorised: forge cuts characters to 8 bits, so the name is read back from the finished bytes.
  const names = altNamesOf(readCertificate(der).extensions);
  if (names === null || [...names.uris, ...names.dns].join() !== text) {
    throw new IdentityError("id-path", `BUG: ${text} changed while it was encoded`);
  }
  return der;
}

/**
 * Takes an authority from its certificate and key. Throws `bundle-root-not-authority` or `svid-key-mismatch`, and
 * `authority-mismatch` if the certificate names another trust domain than the given one.
 */
export function openAuthority(trustDomain: string, der: Uint8Array, key: KeyObject): Authority {
  const certificate = readCertificate(der);
  if (!isAuthority(certificate))
    throw new IdentityError("bundle-root-not-authority", "the certificate may not sign others");
  if (!exportSpki(key).equals(encodeDer(certificate.spki))) {
    throw new IdentityError("svid-key-mismatch", "the private key is not that of the authority's certificate");
  }
  const uris = altNamesOf(certificate.extensions)?.uris ?? [];
  if (uris.length > 0 && !uris.includes(`spiffe://${trustDomain}`)) {
    throw new IdentityError("authority-mismatch", `the authority is of ${uris.join(", ")}, not of ${trustDomain}`);
  }
  return { trustDomain, certificate, key };
}

/** Whether a certificate may sign others: CA true, and keyCertSign unless key usage is left open. */
export function isAuthority(certificate: Certificate): boolean {
  const usage = keyUsageOf(certificate);
  return basicConstraintsOf(certificate).authority && (usage?.has(keyUsageBit.keyCertSign) ?? true);
}

/** Whether a certificate carries name constraints. */
export function isConstrained(certificate: Certificate): boolean {
  return findExtension(certificate.extensions, oid.nameConstraints) !== undefined;
}

function period(validity: Validity, issuer?: Certificate): { readonly notBefore: number; readonly notAfter: number } {
  const end = validity.now + validity.lifetimeMs;
  if (issuer !== undefined && issuer.notAfter <= validity.now) {
    throw new IdentityError("authority-expired", `the authority expired at ${new Date(issuer.notAfter).toISOString()}`);
  }
  return {
    notBefore: Math.max(validity.now - clockSkewMs, issuer?.notBefore ?? 0),
    notAfter: issuer === undefined ? end : Math.min(end, issuer.notAfter),
  };
}

function requireKeyId(certificate: Certificate): Buffer {
  const keyId = subjectKeyIdOf(certificate);
  if (keyId === null) throw new IdentityError("certificate-malformed", "the authority has no subject key identifier");
  return keyId;
}
