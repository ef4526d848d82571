import type { KeyObject } from "node:crypto";
import { altNamesOf, oid, readExtensions, within } from "./certificate.js";
import { derAltNames, derDnsName, derName, derUriName } from "./certificate-builder.js";
import {
  contextChildren,
  type Der,
  derBits,
  derContext,
  derInteger,
  derOid,
  derSequence,
  derSet,
  encodeDer,
  isContext,
  oidBytes,
  parseDer,
  readBitBytes,
  readOid,
  readSequence,
  readSet,
  readSmallInteger,
} from "./der.js";
import { IdentityError } from "./identity-error.js";
import { ecdsaWithSha256, ecP256, exportSpki, importP256, type KeyPair, signBytes, verifyBytes } from "./key.js";
import { SpiffeId } from "./spiffe-id.js";

/** CSRs longer than this are not read. */
export const maxCsrBytes = 4096;

const extensionRequest = "1.2.840.113549.1.9.14";
const commonName = "2.5.4.3";

/** What a certificate signing request proves: that its sender holds the private half of `publicKey`. */
export interface Csr {
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, as a node for the certificate. */
  readonly spki: Der;
}

/** A PKCS#10 request, DER: the id as the one SAN, signed by the key. The DNS form also goes into the common name, as Linkerd's proxies do it. */
export function writeCsr(id: SpiffeId, key: KeyPair): Buffer {
  const text = id.toString();
  const name = id.kind === "dns" ? derDnsName(text) : derUriName(text);
  const body = derSequence(
    derInteger(Buffer.from([0])),
    derName(id.kind === "dns" ? text : undefined),
    parseDer(exportSpki(key.publicKey), 512),
    derContext(0, derSequence(derOid(extensionRequest), derSet(derSequence(derAltNames(true, name))))),
  );
  const algorithm = parseDer(ecdsaWithSha256, 64);
  return encodeDer(derSequence(body, algorithm, derBits(signBytes(encodeDer(body), key.privateKey))));
}

/**
 * Reads a PKCS#10 request (RFC 2986) from an authenticated but untrusted sender, for the id that the sender was found to be
 * entitled to. Only the public key is taken from it; a request that asks for anything else than exactly this id is refused,
 * not corrected.
 *
 * Throws {@link IdentityError}: `der-…`, `csr-malformed`, `csr-algorithm` (not ECDSA with SHA-256), `csr-key` (not P-256),
 * `csr-proof-of-possession`, `csr-extension` (any attribute or extension but one subjectAltName), `csr-identity`.
 */
export function readCsr(der: Uint8Array, entitled: SpiffeId): Csr {
  const root = parseDer(der, maxCsrBytes);
  return within("csr-malformed", () => {
    const [body, algorithm, signature] = readSequence(root, "request", 3, 3);
    if (!encodeDer(algorithm!).equals(ecdsaWithSha256))
      throw new IdentityError("csr-algorithm", "not signed by ECDSA with SHA-256");
    const [version, subject, spki, attributes] = readSequence(body, "request info", 4, 4);
    if (readSmallInteger(version, "version") !== 0) throw new IdentityError("csr-malformed", "not a version 1 request");
    const keyAlgorithm = readSequence(spki, "subjectPublicKeyInfo", 2, 2)[0];
    // Before OpenSSL reads it: a key with parameters of its own has cost it endless loops.
    if (!encodeDer(keyAlgorithm!).equals(ecP256)) throw new IdentityError("csr-key", "not a P-256 key");
    const publicKey = importP256(encodeDer(spki!));
    if (!verifyBytes(encodeDer(body!), publicKey, readBitBytes(signature, "signature"))) {
      throw new IdentityError("csr-proof-of-possession", "the request is not signed by its own key");
    }
    requireSubject(subject, entitled);
    requireOnlyName(attributes, entitled);
    return { publicKey, spki: spki! };
  });
}

/** A request as it is, for people: its names, and why the identity service would refuse it even for its own name. Null: it would not. */
export function inspectableCsr(der: Uint8Array): {
  readonly uris: readonly string[];
  readonly dns: readonly string[];
  /** SubjectPublicKeyInfo. */
  readonly spki: Buffer;
  readonly problem: IdentityError | null;
} {
  const root = parseDer(der, maxCsrBytes);
  const [names, spki] = within("csr-malformed", () => {
    const [, , key, attributes] = readSequence(readSequence(root, "request", 3, 3)[0], "request info", 4, 4);
    const spki = encodeDer(key!);
    for (const one of isContext(attributes, 0, true) ? contextChildren(attributes) : []) {
      const [type, values] = readSequence(one, "attribute", 2, 2);
      if (readOid(type, "attribute type") !== oidBytes(extensionRequest)) continue;
      return [altNamesOf(readExtensions(readSet(values, "extension request"))), spki] as const;
    }
    return [null, spki] as const;
  });
  const uris = names?.uris ?? [];
  const dns = names?.dns ?? [];
  try {
    readCsr(der, SpiffeId.parse(uris[0] ?? dns[0] ?? ""));
    return { uris, dns, spki, problem: null };
  } catch (error) {
    if (!IdentityError.is(error)) throw error;
    const problem = error.reason.startsWith("id-") ? new IdentityError("csr-identity", error.message) : error;
    return { uris, dns, spki, problem };
  }
}

function requireSubject(subject: Der | undefined, entitled: SpiffeId): void {
  const parts = readSequence(subject, "subject");
  if (parts.length === 0) return;
  const attributes = parts.length === 1 ? readSet(parts[0], "subject part") : [];
  const [type, value] = attributes.length === 1 ? readSequence(attributes[0], "subject attribute", 2, 2) : [];
  const isName = type !== undefined && readOid(type, "subject type") === oidBytes(commonName);
  // What is constructed has no text as its value.
  if (!isName || value?.tagClass !== 0 || value.value !== entitled.toString()) {
    throw new IdentityError("csr-identity", "the subject is neither empty nor a common name equal to the identity");
  }
}

function requireOnlyName(attributes: Der | undefined, entitled: SpiffeId): void {
  if (!isContext(attributes, 0, true)) throw new IdentityError("csr-malformed", "no attributes");
  const all = contextChildren(attributes);
  if (all.length !== 1) throw new IdentityError("csr-extension", "not exactly one attribute, the extension request");
  const [type, values] = readSequence(all[0], "attribute", 2, 2);
  if (readOid(type, "attribute type") !== oidBytes(extensionRequest)) {
    throw new IdentityError("csr-extension", "an attribute that is no extension request");
  }
  const extensions = readExtensions(readSet(values, "extension request"));
  if (extensions.length !== 1 || extensions[0]!.id !== oidBytes(oid.subjectAltName)) {
    throw new IdentityError("csr-extension", "an extension that is not subjectAltName");
  }
  const names = readSequence(parseDer(extensions[0]!.value, maxCsrBytes), "subjectAltName");
  const found = names.length === 1 ? altNamesOf(extensions) : null;
  const only = entitled.kind === "dns" ? found?.dns[0] : found?.uris[0];
  if (only !== entitled.toString()) {
    throw new IdentityError("csr-identity", `the request is not for exactly ${entitled}`);
  }
}
