import { type KeyObject, sign } from "node:crypto";
import type { Authority } from "../authority.js";
import { oid, readCertificate, subjectKeyIdOf } from "../certificate.js";
import {
  buildCertificate,
  derAltNames,
  derAuthorityKeyId,
  derBasicConstraints,
  derKeyUsage,
  derName,
  derPurposes,
} from "../certificate-builder.js";
import { type Der, derContextBytes, derOctets, derOid, derSequence, encodeDer, parseDer } from "../der.js";
import { ecdsaWithSha256, exportSpki, generateKey, type KeyPair } from "../key.js";
import { writeCertificatesPem, writePem } from "../pem.js";
import { type TestTrust, testPeerId } from "./test-trust.js";

/** What a bad peer presents. */
export interface BadMaterial {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A leaf like a good one of `testPeerId`, but for what is said here; null leaves a part out. */
export interface LeafRecipe {
  readonly signer?: Authority;
  /** Sent behind the leaf, DER. @defaultValue the signer's certificate */
  readonly intermediates?: readonly Uint8Array[];
  readonly uris?: readonly string[];
  /** The whole list of names, instead of `uris`. */
  readonly names?: readonly Der[] | null;
  readonly basicConstraints?: Der | null;
  readonly keyUsage?: Der | null;
  readonly purposes?: Der | null;
  readonly extra?: readonly Der[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly key?: KeyPair;
  /** Rewrites what is signed. */
  readonly alterTbs?: (tbs: Buffer) => Buffer;
  /** Rewrites the finished certificate. */
  readonly alterRaw?: (raw: Buffer) => Buffer;
  /** AlgorithmIdentifier and hash of the signature. */
  readonly algorithm?: { readonly identifier: Buffer; readonly digest: string };
}

/** Bakes a {@link LeafRecipe}. */
export function bakeLeaf(trust: TestTrust, recipe: LeafRecipe = {}): BadMaterial {
  const signer = recipe.signer ?? trust.a.issuer;
  const key = recipe.key ?? generateKey();
  const names = recipe.names === undefined ? (recipe.uris ?? [testPeerId.toString()]).map(uriName) : recipe.names;
  const parts: (Der | null)[] = [
    recipe.basicConstraints === undefined ? derBasicConstraints(false) : recipe.basicConstraints,
    recipe.keyUsage === undefined ? derKeyUsage(0) : recipe.keyUsage,
    recipe.purposes === undefined ? derPurposes(oid.serverAuth, oid.clientAuth) : recipe.purposes,
    names === null ? null : derAltNames(true, ...names),
    derAuthorityKeyId(subjectKeyIdOf(signer.certificate) ?? Buffer.alloc(20)),
    ...(recipe.extra ?? []),
  ];
  let raw = buildCertificate({
    issuer: signer.certificate.subject,
    subject: derName(),
    spki: parseDer(exportSpki(key.publicKey), 2048),
    notBefore: recipe.notBefore ?? trust.now - 60_000,
    notAfter: recipe.notAfter ?? trust.now + 3_600_000,
    extensions: parts.filter((part) => part !== null),
    signer: signer.key,
  });
  if (recipe.alterTbs !== undefined || recipe.algorithm !== undefined) {
    const tbs = readCertificate(raw).tbs;
    raw = signTbs(recipe.alterTbs?.(tbs) ?? tbs, signer.key, recipe.algorithm);
  }
  raw = recipe.alterRaw?.(raw) ?? raw;
  return material([raw, ...(recipe.intermediates ?? [signer.certificate.raw])], key.privateKey);
}

/** Chain and key as PEM. */
export function material(chain: readonly Uint8Array[], key: KeyObject): BadMaterial {
  const keyPem = writePem("PRIVATE KEY", key.export({ type: "pkcs8", format: "der" }));
  return { chainPem: writeCertificatesPem(chain), keyPem };
}

/** A URI name of any bytes, where a real one has a parsed id. */
export function uriName(uri: string): Der {
  return derContextBytes(6, Buffer.from(uri, "latin1"));
}

/** A critical extension that nobody knows. */
export function unknownExtension(): Der {
  return derSequence(derOid("1.3.6.1.4.1.55555.1"), { ...trueNode() }, derOctets(Buffer.from([5, 0])));
}

function trueNode(): Der {
  return parseDer(Buffer.from([1, 1, 0xff]), 3);
}

/** A certificate around bytes that no builder would make. */
export function signTbs(
  tbs: Buffer,
  key: KeyObject,
  algorithm = { identifier: ecdsaWithSha256, digest: "sha256" },
): Buffer {
  const inner = algorithm.identifier.equals(ecdsaWithSha256)
    ? tbs
    : wrap(0x30, replaceBytes(unwrap(tbs), ecdsaWithSha256, algorithm.identifier));
  const signature = sign(algorithm.digest, inner, key);
  return wrap(0x30, inner, algorithm.identifier, wrap(0x03, Buffer.from([0]), signature));
}

/** A DER value with a given tag around content. */
export function wrap(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 128 ? Buffer.from([body.length]) : Buffer.from([0x82, body.length >> 8, body.length & 0xff]);
  // One of 128 to 255 bytes takes the short long form.
  const head = body.length >= 128 && body.length < 256 ? Buffer.from([0x81, body.length]) : length;
  return Buffer.concat([Buffer.from([tag]), head, body]);
}

/** The content of a DER value with a two-byte length, as every tbsCertificate here has. */
export function unwrap(der: Buffer): Buffer {
  return der.subarray(der[1] === 0x82 ? 4 : der[1] === 0x81 ? 3 : 2);
}

/** Replaces the first occurrence; both must be of one length unless the caller wraps anew. */
export function replaceBytes(bytes: Buffer, from: Uint8Array, to: Uint8Array): Buffer {
  const at = bytes.indexOf(from);
  if (at < 0) throw new Error("BUG: the bytes to be replaced are not there");
  return Buffer.concat([bytes.subarray(0, at), to, bytes.subarray(at + from.length)]);
}

/** DER of a node, for {@link replaceBytes}. */
export function bytesOf(node: Der): Buffer {
  return encodeDer(node);
}
