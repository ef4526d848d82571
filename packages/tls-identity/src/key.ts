import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { derOid, derSequence, encodeDer } from "./der.js";
import { IdentityError } from "./identity-error.js";

/** A private key with its public half. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The whole AlgorithmIdentifier of ECDSA with SHA-256, which has no parameters (RFC 5758 section 3.2). Compared as bytes. */
export const ecdsaWithSha256: Buffer = encodeDer(derSequence(derOid("1.2.840.10045.4.3.2")));

/** The AlgorithmIdentifier of a P-256 public key (RFC 5480 section 2.1.1). */
export const ecP256: Buffer = encodeDer(derSequence(derOid("1.2.840.10045.2.1"), derOid("1.2.840.10045.3.1.7")));

const p256SpkiBytes = 91;

/** A new P-256 key pair. */
export function generateKey(): KeyPair {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" });
}

/** ECDSA with SHA-256, DER form, as certificates and CSRs carry it. */
export function signBytes(bytes: Uint8Array, key: KeyObject): Buffer {
  return sign("sha256", bytes, key);
}

/** Whether `signature` is by `key` over exactly these bytes. False also for anything malformed. */
export function verifyBytes(bytes: Uint8Array, key: KeyObject, signature: Uint8Array): boolean {
  try {
    return verify("sha256", bytes, key, signature);
  } catch {
    return false;
  }
}

/** SubjectPublicKeyInfo of a key, DER. */
export function exportSpki(key: KeyObject): Buffer {
  return key.type === "private"
    ? createPublicKey(key).export({ type: "spki", format: "der" })
    : key.export({ type: "spki", format: "der" });
}

/**
 * The P-256 key in a SubjectPublicKeyInfo. Throws `csr-key` for any other kind of key, and for another encoding of the same
 * key than the one that is canonical.
 */
export function importP256(spki: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new IdentityError("csr-key", "not a public key", { cause });
  }
  const isP256 = key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === "prime256v1";
  // A KeyObject remembers that its point was compressed and exports it so again, hence the length.
  if (!isP256 || spki.length !== p256SpkiBytes || !exportSpki(key).equals(spki)) {
    throw new IdentityError("csr-key", "not a P-256 key in its canonical, uncompressed encoding");
  }
  return key;
}

/** A private key from PKCS#8, SEC 1 or PKCS#1 PEM, or from PKCS#8 DER. Encrypted keys are refused. */
export function importPrivateKey(material: string | Uint8Array): KeyObject {
  try {
    return typeof material === "string"
      ? createPrivateKey(material)
      : createPrivateKey({ key: Buffer.from(material), format: "der", type: "pkcs8" });
  } catch (cause) {
    throw new IdentityError("key-malformed", "not a private key that can be read without a passphrase", { cause });
  }
}

const base64Alphabet = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

/**
 * PKCS#8 PEM in a Buffer, for TLS contexts, which take no DER and no KeyObject. Never passes through a string, so that whoever
 * fills the Buffer with zeros has wiped the copy.
 */
export function exportPrivateKeyPem(key: KeyObject): Buffer {
  const der = key.export({ type: "pkcs8", format: "der" });
  const head = "-----BEGIN PRIVATE KEY-----\n";
  const tail = "\n-----END PRIVATE KEY-----\n";
  const pem = Buffer.alloc(
    head.length + Math.ceil(der.length / 3) * 4 + Math.floor((der.length - 1) / 48) + tail.length,
  );
  let at = pem.write(head, 0, "latin1");
  for (let i = 0; i < der.length; i += 3) {
    if (i > 0 && i % 48 === 0) pem[at++] = 10;
    const word = (der[i]! << 16) | ((der[i + 1] ?? 0) << 8) | (der[i + 2] ?? 0);
    pem[at++] = base64Alphabet[word >> 18]!;
    pem[at++] = base64Alphabet[(word >> 12) & 63]!;
    pem[at++] = i + 1 < der.length ? base64Alphabet[(word >> 6) & 63]! : 61;
    pem[at++] = i + 2 < der.length ? base64Alphabet[word & 63]! : 61;
  }
  pem.write(tail, at, "latin1");
  der.fill(0);
  return pem;
}

/** Subject key identifier: the first 160 bits of the SHA-256 of the public key's bits (RFC 7093 section 2, method 1). */
export function keyIdentifier(spkiBits: Uint8Array): Buffer {
  return createHash("sha256").update(spkiBits).digest().subarray(0, 20);
}
