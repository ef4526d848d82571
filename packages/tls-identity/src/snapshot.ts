import { type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { readRoots } from "./anchors.js";
import { verifyChain } from "./chain.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySnapshot, TrustBundle } from "./identity-source.js";
import { writeCertificatesPem } from "./pem.js";
import type { SpiffeId } from "./spiffe-id.js";
import { serverTlsOptions } from "./tls-options.js";
import { admitLeaf, verifyLeaf } from "./verify.js";

/** What a source got, before it is believed. */
export interface SvidMaterial {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
  readonly bundles: ReadonlyMap<string, TrustBundle>;
}

/** What is asked of the material. */
export interface SnapshotTerms {
  readonly generation: number;
  /** Now, in milliseconds since 1970. */
  readonly now: number;
  /** The id the SVID must be for; any if undefined. */
  readonly expected?: SpiffeId | undefined;
}

/**
 * Makes a snapshot of what a source got, if a peer that follows the rules would accept it: a well-formed leaf that is valid
 * now, the key that belongs to it, and a chain to the bundle of its own trust domain. All roots of all bundles must be readable
 * authorities. Throws {@link IdentityError}.
 */
export function createSnapshot(material: SvidMaterial, terms: SnapshotTerms): IdentitySnapshot {
  const [leafDer] = material.chain;
  if (leafDer === undefined) throw new IdentityError("chain-empty", "no certificate at all");
  const leaf = verifyLeaf(leafDer);
  admitLeaf(leaf, { now: terms.now, dnsTrustDomain: leaf.id.trustDomain });
  if (terms.expected !== undefined && leaf.id !== terms.expected) {
    throw new IdentityError("svid-id-mismatch", `the SVID is for ${leaf.id}, not for ${terms.expected}`);
  }
  if (!new X509Certificate(leafDer).checkPrivateKey(material.key)) {
    throw new IdentityError("svid-key-mismatch", `the private key does not belong to the SVID of ${leaf.id}`);
  }
  const own = material.bundles.get(leaf.id.trustDomain);
  if (own?.trustDomain !== leaf.id.trustDomain)
    throw new IdentityError("bundle-missing", `no trust bundle for ${leaf.id.trustDomain}`);
  verifyChain(material.chain, own, terms.now);
  for (const bundle of material.bundles.values()) readRoots(bundle);
  const snapshot = Object.freeze({
    id: leaf.id,
    generation: terms.generation,
    chainPem: writeCertificatesPem(material.chain),
    leaf: leafDer,
    key: material.key,
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
    // The own domain first: where roots of two domains look alike, it is the one that counts.
    bundles: new Map([[own.trustDomain, own], ...material.bundles]),
  });
  try {
    // What OpenSSL cannot use must not reach a server that is about to rotate.
    createSecureContext(serverTlsOptions(snapshot));
  } catch (cause) {
    throw new IdentityError("svid-unusable", `TLS cannot use the SVID of ${leaf.id} and its bundles`, { cause });
  }
  return snapshot;
}
