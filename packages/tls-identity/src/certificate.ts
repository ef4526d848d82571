import {
  contextBytes,
  contextChildren,
  type Der,
  encodeDer,
  isContext,
  oidBytes,
  parseDer,
  readBitBytes,
  readBits,
  readBoolean,
  readInteger,
  readOctets,
  readOid,
  readSequence,
  readSmallInteger,
  readTime,
} from "./der.js";
import { IdentityError, type IdentityReason } from "./identity-error.js";

/** Certificates longer than this are not read. */
export const maxCertificateBytes = 16_384;

/** OIDs of extensions and purposes, dotted. */
export const oid = {
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** Bits of KeyUsage, by their number in RFC 5280 section 4.2.1.3. */
export const keyUsageBit = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const;

/** One extension; `value` is the content of its OCTET STRING. */
export interface Extension {
  /** Content bytes of the OID, see `oidBytes`. */
  readonly id: string;
  readonly critical: boolean;
  readonly value: Buffer;
  /** The whole Extension, to be copied into another certificate. */
  readonly node: Der;
}

/** Names of a subjectAltName that matter here, in order, as binary strings. */
export interface AltNames {
  readonly critical: boolean;
  readonly uris: readonly string[];
  readonly dns: readonly string[];
}

/**
 * A certificate as read from its DER by {@link readCertificate}. Says nothing about whether to believe it.
 */
export interface Certificate {
  readonly raw: Uint8Array;
  /** The exact bytes that are signed. */
  readonly tbs: Buffer;
  /** AlgorithmIdentifier of the signature, DER. */
  readonly algorithm: Buffer;
  readonly signature: Buffer;
  readonly serial: Buffer;
  /** Names are kept as nodes, so that an issued certificate copies its issuer's name byte for byte. */
  readonly issuer: Der;
  readonly subject: Der;
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: Der;
  readonly extensions: readonly Extension[];
}

/**
 * Reads a version 3 X.509 certificate (RFC 5280 section 4.1) from canonical DER. Throws {@link IdentityError}: `der-…` for bad
 * bytes, `certificate-…` for a bad structure. Verifies no signature.
 */
export function readCertificate(raw: Uint8Array): Certificate {
  const root = parseDer(raw, maxCertificateBytes);
  return within("certificate-malformed", () => {
    const [tbsNode, algorithmNode, signatureNode] = readSequence(root, "certificate", 3, 3);
    const tbs = readSequence(tbsNode, "tbsCertificate", 7, 10);
    const version = isContext(tbs[0], 0, true) ? readSmallInteger(contextChildren(tbs[0])[0], "version") : 0;
    if (version !== 2) throw new IdentityError("certificate-version", `X.509 version ${version + 1}, only 3 is read`);
    if (tbs.length !== 8 || !isContext(tbs[7], 3, true)) {
      throw new IdentityError("certificate-malformed", "extensions missing, or unique identifiers present");
    }
    const algorithm = encodeDer(algorithmNode!);
    readSequence(algorithmNode, "signatureAlgorithm", 1, 2);
    if (!encodeDer(tbs[2]!).equals(algorithm)) {
      throw new IdentityError("certificate-algorithm", "the signature algorithms inside and outside differ");
    }
    const [notBefore, notAfter] = readSequence(tbs[4], "validity", 2, 2);
    readSequence(tbs[3], "issuer");
    readSequence(tbs[5], "subject");
    readSequence(tbs[6], "subjectPublicKeyInfo", 2, 2);
    return {
      raw,
      tbs: encodeDer(tbsNode!),
      algorithm,
      signature: readBitBytes(signatureNode, "signature"),
      serial: readInteger(tbs[1], "serialNumber"),
      issuer: tbs[3]!,
      subject: tbs[5]!,
      notBefore: readTime(notBefore, "notBefore"),
      notAfter: readTime(notAfter, "notAfter"),
      spki: tbs[6]!,
      extensions: readExtensions(contextChildren(tbs[7])),
    };
  });
}

/** Reads `Extensions` (RFC 5280 section 4.1.2.9). Refuses two of one kind. */
export function readExtensions(wrapped: readonly Der[]): Extension[] {
  if (wrapped.length !== 1) throw new IdentityError("der-malformed", "extensions are not one SEQUENCE");
  const found: Extension[] = [];
  for (const node of readSequence(wrapped[0], "extensions", 1, 64)) {
    const parts = readSequence(node, "extension", 2, 3);
    const critical = parts.length === 3 && readBoolean(parts[1], "critical");
    if (parts.length === 3 && !critical) throw new IdentityError("der-not-canonical", "a default that is written out");
    const id = readOid(parts[0], "extnID");
    if (found.some((other) => other.id === id)) {
      throw new IdentityError("certificate-extension-repeated", "two extensions of one kind");
    }
    found.push({ id, critical, value: readOctets(parts.at(-1), "extnValue"), node });
  }
  return found;
}

/** The extension with a dotted OID, if there. */
export function findExtension(extensions: readonly Extension[], dotted: string): Extension | undefined {
  const id = oidBytes(dotted);
  return extensions.find((extension) => extension.id === id);
}

/** BasicConstraints; `authority: false` if absent. */
export function basicConstraintsOf(certificate: Certificate): {
  readonly authority: boolean;
  readonly pathLength: number | null;
} {
  const extension = findExtension(certificate.extensions, oid.basicConstraints);
  if (extension === undefined) return { authority: false, pathLength: null };
  return within("certificate-malformed", () => {
    const parts = readSequence(parseDer(extension.value, maxCertificateBytes), "basicConstraints", 0, 2);
    if (parts.length === 0) return { authority: false, pathLength: null };
    if (!readBoolean(parts[0], "cA")) throw new IdentityError("der-not-canonical", "a default that is written out");
    return { authority: true, pathLength: parts.length === 2 ? readSmallInteger(parts[1], "pathLenConstraint") : null };
  });
}

/** KeyUsage, or null if absent. `has(n)` asks for the bit with that number. */
export function keyUsageOf(certificate: Certificate): { readonly critical: boolean; has(bit: number): boolean } | null {
  const extension = findExtension(certificate.extensions, oid.keyUsage);
  if (extension === undefined) return null;
  const bits = within("certificate-malformed", () => readBits(parseDer(extension.value, 64), "keyUsage"));
  return {
    critical: extension.critical,
    has: (bit) => ((bits[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0,
  };
}

/** The purposes of an ExtendedKeyUsage as OID content bytes, or null if absent, which allows all. */
export function purposesOf(certificate: Certificate): readonly string[] | null {
  const extension = findExtension(certificate.extensions, oid.extendedKeyUsage);
  if (extension === undefined) return null;
  return within("certificate-malformed", () =>
    readSequence(parseDer(extension.value, maxCertificateBytes), "extKeyUsage", 1).map((node) =>
      readOid(node, "purpose"),
    ),
  );
}

/** URI and DNS names of the subjectAltName, or null if absent. Other kinds of name are skipped. */
export function altNamesOf(extensions: readonly Extension[]): AltNames | null {
  const extension = findExtension(extensions, oid.subjectAltName);
  if (extension === undefined) return null;
  return within("certificate-malformed", () => {
    const uris: string[] = [];
    const dns: string[] = [];
    for (const node of readSequence(parseDer(extension.value, maxCertificateBytes), "subjectAltName", 1)) {
      if (node.tagClass !== 0x80) throw new IdentityError("der-malformed", "a name without its kind");
      if (node.type === 6) uris.push(contextBytes(node));
      else if (node.type === 2) dns.push(contextBytes(node));
    }
    return { critical: extension.critical, uris, dns };
  });
}

/** Subject key identifier, or null. */
export function subjectKeyIdOf(certificate: Certificate): Buffer | null {
  const extension = findExtension(certificate.extensions, oid.subjectKeyIdentifier);
  if (extension === undefined) return null;
  return within("certificate-malformed", () => readOctets(parseDer(extension.value, 256), "subjectKeyIdentifier"));
}

/** The bits of the public key, which key identifiers are made from. */
export function spkiBitsOf(spki: Der): Buffer {
  return readBitBytes(readSequence(spki, "subjectPublicKeyInfo", 2, 2)[1], "subjectPublicKey");
}

/** Runs a reader and gives its shape errors the reason of what is being read. */
export function within<T>(reason: IdentityReason, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (IdentityError.is(error) && error.reason === "der-malformed") {
      throw new IdentityError(reason, error.message, { cause: error });
    }
    throw error;
  }
}
