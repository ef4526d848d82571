import { isAuthority } from "./authority.js";
import { type Certificate, keyUsageBit, oid, readCertificate, spkiBitsOf, subjectKeyIdOf } from "./certificate.js";
import {
  buildCertificate,
  derAuthorityKeyId,
  derBasicConstraints,
  derKeyUsage,
  derName,
  derSubjectKeyId,
  derUriConstraint,
} from "./certificate-builder.js";
import { type Der, encodeDer, oidBytes, parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";
import { exportSpki, generateKey, keyIdentifier } from "./key.js";
import { writeCertificatesPem } from "./pem.js";
import { requireTrustDomain } from "./spiffe-id.js";

// The anchors' own validity must not depend on anybody's clock: that of the roots below them is copied.
const anchorNotBefore = Date.UTC(2000, 0, 1);
const anchorNotAfter = Date.UTC(2049, 11, 31);

const built = new WeakMap<ReadonlyMap<string, TrustBundle>, string>();

/**
 * PEM to give to OpenSSL as `ca` on a side that may meet several trust domains. A union of their bundles would let each
 * domain's roots sign for all others. So each root is re-issued in memory, same name, key, validity and extensions, below an
 * anchor of this process that is constrained to URIs of the root's own domain; OpenSSL then enforces the federation.
 * (The roots' private keys aren't needed for that, and the anchors' keys are dropped at once.)
 *
 * A root that is in the bundles of several domains may sign for these. Of look-alikes, that have name and key in common but are not
 * the same certificate, the first domain's count: put the own domain first, so that no federated one can stand in its way.
 *
 * A certificate without URI is not constrained: the leaf gate is never optional. Roots that intermediates refer to by
 * issuer and serial number, instead of key identifier, are not found.
 *
 * Built once per `bundles`. Throws `bundle-empty`, `bundle-root-not-authority`, or why a root cannot be read.
 */
export function constrainedAnchors(bundles: ReadonlyMap<string, TrustBundle>): string {
  let pem = built.get(bundles);
  if (pem === undefined) {
    if (bundles.size === 0) throw new IdentityError("bundle-empty", "no trust bundle at all");
    pem = writeCertificatesPem(groupByDomains(bundles).flatMap(({ domains, roots }) => anchorsOf(domains, roots)));
    built.set(bundles, pem);
  }
  return pem;
}

interface RootGroup {
  readonly domains: readonly string[];
  readonly roots: Certificate[];
}

/** Groups roots by the set of domains that they may sign for. */
function groupByDomains(bundles: ReadonlyMap<string, TrustBundle>): RootGroup[] {
  const claimed = new Map<
    string,
    { readonly owner: string; readonly root: Certificate; readonly domains: Set<string> }[]
  >();
  for (const [trustDomain, bundle] of bundles) {
    requireTrustDomain(trustDomain);
    for (const root of readRoots(bundle)) {
      const nameAndKey = `${encodeDer(root.subject).toString("hex")} ${encodeDer(root.spki).toString("hex")}`;
      const alike = claimed.get(nameAndKey) ?? [];
      const same = alike.find((other) => Buffer.compare(other.root.raw, root.raw) === 0);
      if (same !== undefined) same.domains.add(trustDomain);
      else if (alike.every((other) => other.owner === trustDomain)) {
        alike.push({ owner: trustDomain, root, domains: new Set([trustDomain]) });
      }
      claimed.set(nameAndKey, alike);
    }
  }
  const groups = new Map<string, RootGroup>();
  for (const { root, domains } of [...claimed.values()].flat()) {
    const name = [...domains].join(" ");
    const group = groups.get(name) ?? { domains: [...domains], roots: [] };
    group.roots.push(root);
    groups.set(name, group);
  }
  return [...groups.values()];
}

/** An anchor for URIs of some domains, and below it copies of the roots; DER. */
function anchorsOf(domains: readonly string[], roots: readonly Certificate[]): Buffer[] {
  const { publicKey, privateKey } = generateKey();
  const spki = parseDer(exportSpki(publicKey), 512);
  const name = derName(`anchor.${domains[0]}`);
  const constraint = derUriConstraint(...domains);
  const anchor = buildCertificate({
    issuer: name,
    subject: name,
    spki,
    notBefore: anchorNotBefore,
    notAfter: anchorNotAfter,
    extensions: [derBasicConstraints(true), derKeyUsage(keyUsageBit.keyCertSign), constraint, derSubjectKeyId(spki)],
    signer: privateKey,
  });
  const keyId = keyIdentifier(spkiBitsOf(spki));
  const copies = roots.map((root) =>
    buildCertificate({
      issuer: name,
      subject: root.subject,
      spki: root.spki,
      notBefore: root.notBefore,
      notAfter: root.notAfter,
      extensions: [...copiedExtensions(root, constraint), derAuthorityKeyId(keyId)],
      signer: privateKey,
    }),
  );
  return [anchor, ...copies];
}

function copiedExtensions(root: Certificate, constraint: Der): Der[] {
  const dropped = oidBytes(oid.authorityKeyIdentifier);
  const constraints = oidBytes(oid.nameConstraints);
  const nodes = root.extensions.filter((extension) => extension.id !== dropped).map((extension) => extension.node);
  // Said twice, on the anchor and here: the root's own constraints, if it has any, stay and are met as well.
  if (!root.extensions.some((extension) => extension.id === constraints)) nodes.push(constraint);
  if (subjectKeyIdOf(root) === null) nodes.push(derSubjectKeyId(root.spki));
  return nodes;
}

/** The roots of a bundle, read. Throws `bundle-empty`, `bundle-root-not-authority`, or why a root cannot be read. */
export function readRoots(bundle: TrustBundle): Certificate[] {
  if (bundle.roots.length === 0)
    throw new IdentityError("bundle-empty", `the trust bundle of ${bundle.trustDomain} has no roots`);
  return bundle.roots.map((der) => {
    const root = readCertificate(der);
    // Re-issuing would make an authority of a leaf that got into the bundle by mistake.
    if (!isAuthority(root)) {
      throw new IdentityError(
        "bundle-root-not-authority",
        `the trust bundle of ${bundle.trustDomain} holds a certificate that may not sign`,
      );
    }
    return root;
  });
}
