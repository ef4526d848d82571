import {
  type AltNames,
  altNamesOf,
  basicConstraintsOf,
  type Certificate,
  keyUsageBit,
  keyUsageOf,
  oid,
  purposesOf,
  readCertificate,
} from "./certificate.js";
import { encodeDer, oidBytes, parseDer, readBitBytes, readInteger, readOid, readSequence } from "./der.js";
import { IdentityError, type IdentityReason } from "./identity-error.js";
import { SpiffeId } from "./spiffe-id.js";

/** What a leaf certificate proves, once its chain is known to be good. */
export interface VerifiedLeaf {
  readonly id: SpiffeId;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What the checks look at: the leaf, read once. */
export interface LeafView {
  readonly certificate: Certificate;
  readonly names: AltNames | null;
  readonly usage: ReturnType<typeof keyUsageOf>;
  /** Parsed from the first URI, or from the first DNS name if there is no URI. */
  readonly id: SpiffeId | null;
}

/** One rule: the reason to refuse with, and whether it is broken. */
export interface LeafCheck {
  readonly reason: IdentityReason;
  readonly broken: (leaf: LeafView) => boolean;
}

/**
 * The rules of X509-SVID sections 3 to 5 that OpenSSL does not enforce, one each. Chain, dates of the chain, name constraints and
 * the purpose in use are OpenSSL's; the federation rule (a domain's roots sign for that domain only) is `constrainedAnchors`'s.
 */
export const leafChecks: readonly LeafCheck[] = [
  { reason: "leaf-is-authority", broken: (leaf) => basicConstraintsOf(leaf.certificate).authority },
  { reason: "leaf-key-usage-missing", broken: (leaf) => leaf.usage === null },
  { reason: "leaf-key-usage-not-critical", broken: (leaf) => leaf.usage?.critical === false },
  {
    reason: "leaf-digital-signature-missing",
    broken: (leaf) => leaf.usage?.has(keyUsageBit.digitalSignature) === false,
  },
  { reason: "leaf-key-usage-cert-sign", broken: (leaf) => leaf.usage?.has(keyUsageBit.keyCertSign) === true },
  { reason: "leaf-key-usage-crl-sign", broken: (leaf) => leaf.usage?.has(keyUsageBit.crlSign) === true },
  { reason: "leaf-extended-key-usage", broken: (leaf) => !hasBothPurposes(leaf.certificate) },
  { reason: "leaf-key-weak", broken: (leaf) => !isStrongKey(leaf.certificate) },
  { reason: "leaf-san-missing", broken: (leaf) => leaf.names === null },
  // A leaf without URI is of nobody, unless it is one of Linkerd's; whether those are welcome is decided per connection.
  {
    reason: "leaf-uri-missing",
    broken: (leaf) => leaf.names !== null && leaf.names.uris.length === 0 && leaf.id === null,
  },
  { reason: "leaf-uri-many", broken: (leaf) => leaf.names !== null && leaf.names.uris.length > 1 },
  {
    reason: "leaf-uri-not-spiffe",
    broken: (leaf) => leaf.names?.uris.some((uri) => !uri.startsWith("spiffe://")) === true,
  },
  { reason: "leaf-id-malformed", broken: (leaf) => leaf.names?.uris[0] !== undefined && leaf.id === null },
];

/**
 * The leaf gate: reads a peer's leaf from its DER and applies {@link leafChecks}. Knows nothing of time, chain or expectation: see
 * {@link admitLeaf} for what depends on the connection. Throws {@link IdentityError}.
 */
export function verifyLeaf(der: Uint8Array, checks: readonly LeafCheck[] = leafChecks): VerifiedLeaf {
  const certificate = readCertificate(der);
  const names = altNamesOf(certificate.extensions);
  const id = names === null ? null : namedBy(names);
  const leaf: LeafView = { certificate, names, usage: keyUsageOf(certificate), id };
  for (const check of checks) {
    if (check.broken(leaf))
      throw new IdentityError(check.reason, `the peer's leaf is refused: ${check.reason}${named(names)}`);
  }
  if (id === null) throw new IdentityError("certificate-malformed", "the peer's leaf names nobody");
  return { id, notBefore: certificate.notBefore, notAfter: certificate.notAfter };
}

/** What a connection asks of a leaf beyond its form. */
export interface Admission {
  /** Now, in milliseconds since 1970. */
  readonly now: number;
  /** The only id to admit. Undefined admits every id: somebody else decides. */
  readonly expected?: SpiffeId | undefined;
  /** Trust domain whose DNS-form ids are admitted. */
  readonly dnsTrustDomain?: string | undefined;
}

/** One rule that depends on the connection. */
export interface AdmissionCheck {
  readonly reason: IdentityReason;
  readonly broken: (leaf: VerifiedLeaf, admission: Admission) => boolean;
}

/** The rules of {@link admitLeaf}. */
export const admissionChecks: readonly AdmissionCheck[] = [
  // OpenSSL looked at the dates too, but at the handshake, and verdicts are kept longer than that.
  { reason: "leaf-not-yet-valid", broken: (leaf, admission) => admission.now < leaf.notBefore },
  { reason: "leaf-expired", broken: (leaf, admission) => admission.now > leaf.notAfter },
  // URI name constraints leave DNS names free, so a DNS id proves its trust domain only where no other domain's roots are believed.
  {
    reason: "leaf-dns-not-allowed",
    broken: (leaf, admission) => leaf.id.kind === "dns" && leaf.id.trustDomain !== admission.dnsTrustDomain,
  },
  {
    reason: "leaf-id-unexpected",
    broken: (leaf, admission) => admission.expected !== undefined && leaf.id !== admission.expected,
  },
];

/** Throws {@link IdentityError} unless the connection may go on with this leaf. */
export function admitLeaf(
  leaf: VerifiedLeaf,
  admission: Admission,
  checks: readonly AdmissionCheck[] = admissionChecks,
): void {
  for (const check of checks) {
    if (!check.broken(leaf, admission)) continue;
    const wanted = admission.expected === undefined ? "" : `, expected ${admission.expected}`;
    throw new IdentityError(check.reason, `the peer is ${leaf.id}${wanted}: ${check.reason}`);
  }
}

/** Each form of id counts only in its own kind of name: constraints on URIs do not reach a SPIFFE id that hides in a DNS name. */
function namedBy(names: AltNames): SpiffeId | null {
  const [uri] = names.uris;
  const [dns] = names.dns;
  const id = SpiffeId.tryParse(uri ?? dns ?? "");
  return id?.kind === (uri === undefined ? "dns" : "spiffe") ? id : null;
}

function named(names: AltNames | null): string {
  const all = names === null ? [] : [...names.uris, ...names.dns];
  return all.length === 0 ? "" : ` (${JSON.stringify(all.slice(0, 4).map((name) => name.slice(0, 100)))})`;
}

const serverAuth = oidBytes(oid.serverAuth);
const clientAuth = oidBytes(oid.clientAuth);

function hasBothPurposes(certificate: Certificate): boolean {
  const purposes = purposesOf(certificate);
  return purposes === null || (purposes.includes(serverAuth) && purposes.includes(clientAuth));
}

const strongAlgorithms = {
  ec: oidBytes("1.2.840.10045.2.1"),
  rsa: oidBytes("1.2.840.113549.1.1.1"),
  ed25519: oidBytes("1.3.101.112"),
};
const strongCurves = [oidBytes("1.2.840.10045.3.1.7"), oidBytes("1.3.132.0.34"), oidBytes("1.3.132.0.35")];
const minRsaBytes = 256;

function isStrongKey(certificate: Certificate): boolean {
  const [algorithm, bits] = readSequence(certificate.spki, "subjectPublicKeyInfo", 2, 2);
  const [kind, parameters] = readSequence(algorithm, "algorithm", 1, 2);
  switch (readOid(kind, "algorithm")) {
    case strongAlgorithms.ec:
      return strongCurves.includes(readOid(parameters, "curve"));
    case strongAlgorithms.rsa: {
      const [modulus] = readSequence(
        parseDer(readBitBytes(bits, "subjectPublicKey"), encodeDer(bits!).length),
        "RSAPublicKey",
        2,
        2,
      );
      const bytes = readInteger(modulus, "modulus");
      return bytes.length - (bytes[0] === 0 ? 1 : 0) >= minRsaBytes;
    }
    default:
      return readOid(kind, "algorithm") === strongAlgorithms.ed25519;
  }
}
