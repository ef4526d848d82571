import { type KeyObject, randomBytes } from "node:crypto";
import { oid, spkiBitsOf } from "./certificate.js";
import {
  type Der,
  derBits,
  derBoolean,
  derContext,
  derContextBytes,
  derInteger,
  derOctets,
  derOid,
  derSequence,
  derSet,
  derTime,
  derUtf8,
  encodeDer,
  parseDer,
} from "./der.js";
import { ecdsaWithSha256, keyIdentifier, signBytes } from "./key.js";

/** What goes into a certificate. */
export interface CertificateContent {
  readonly issuer: Der;
  readonly subject: Der;
  readonly spki: Der;
  readonly notBefore: number;
  readonly notAfter: number;
  /** In this order. */
  readonly extensions: readonly Der[];
  /** Signs with ECDSA and SHA-256. */
  readonly signer: KeyObject;
}

const signatureAlgorithm = parseDer(ecdsaWithSha256, 64);

/** A signed version 3 certificate, DER, with a random serial number of 16 bytes. */
export function buildCertificate(content: CertificateContent): Buffer {
  const tbs = derSequence(
    derContext(0, derInteger(Buffer.from([2]))),
    derInteger(randomSerial()),
    signatureAlgorithm,
    content.issuer,
    derSequence(derTime(content.notBefore), derTime(content.notAfter)),
    content.subject,
    content.spki,
    derContext(3, derSequence(...content.extensions)),
  );
  return encodeDer(derSequence(tbs, signatureAlgorithm, derBits(signBytes(encodeDer(tbs), content.signer))));
}

function randomSerial(): Buffer {
  const serial = randomBytes(16);
  // Positive, and always 16 bytes long.
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return serial;
}

/** A Name of one common name; empty without one. */
export function derName(commonName?: string): Der {
  if (commonName === undefined) return derSequence();
  return derSequence(derSet(derSequence(derOid("2.5.4.3"), derUtf8(commonName))));
}

/** One Extension. */
export function derExtension(dotted: string, critical: boolean, value: Der): Der {
  const octets = derOctets(encodeDer(value));
  return critical ? derSequence(derOid(dotted), derBoolean(true), octets) : derSequence(derOid(dotted), octets);
}

/** BasicConstraints, critical. `pathLength` null leaves it open. */
export function derBasicConstraints(authority: boolean, pathLength: number | null = null): Der {
  const parts: Der[] = [];
  if (authority) parts.push(derBoolean(true));
  if (authority && pathLength !== null) parts.push(derInteger(Buffer.from([pathLength])));
  return derExtension(oid.basicConstraints, true, derSequence(...parts));
}

/** KeyUsage, critical, from bit numbers. */
export function derKeyUsage(...bits: readonly number[]): Der {
  let byte = 0;
  for (const bit of bits) byte |= 0x80 >> bit;
  return derExtension(oid.keyUsage, true, derBits(Buffer.from([byte]), 7 - Math.max(...bits)));
}

/** ExtendedKeyUsage from dotted OIDs. */
export function derPurposes(...purposes: readonly string[]): Der {
  return derExtension(oid.extendedKeyUsage, false, derSequence(...purposes.map(derOid)));
}

/** A GeneralName of kind URI. `uri` must be ASCII, as every parsed id is. */
export function derUriName(uri: string): Der {
  return derContextBytes(6, Buffer.from(uri, "latin1"));
}

/** A GeneralName of kind DNS. */
export function derDnsName(name: string): Der {
  return derContextBytes(2, Buffer.from(name, "latin1"));
}

/** SubjectAltName. */
export function derAltNames(critical: boolean, ...names: readonly Der[]): Der {
  return derExtension(oid.subjectAltName, critical, derSequence(...names));
}

/** NameConstraints, critical: URIs only within these trust domains. */
export function derUriConstraint(...trustDomains: readonly string[]): Der {
  const permitted = trustDomains.map((trustDomain) => derSequence(derUriName(trustDomain)));
  return derExtension(oid.nameConstraints, true, derSequence(derContext(0, ...permitted)));
}

/** SubjectKeyIdentifier of a public key. */
export function derSubjectKeyId(spki: Der): Der {
  return derExtension(oid.subjectKeyIdentifier, false, derOctets(keyIdentifier(spkiBitsOf(spki))));
}

/** AuthorityKeyIdentifier from the issuer's own SubjectKeyIdentifier, byte for byte. */
export function derAuthorityKeyId(keyId: Uint8Array): Der {
  return derExtension(oid.authorityKeyIdentifier, false, derSequence(derContextBytes(0, keyId)));
}
