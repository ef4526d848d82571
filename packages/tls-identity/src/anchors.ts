import { isAuthority } from "./authority.js";
import { type Certificate, oid, readCertificate, spkiBitsOf, subjectKeyIdOf } from "./certificate.js";
import {
  buildCertificate,
  derAuthorityKeyId,
  derBasicConstraints,
  derKeyUsage,
  derName,
  derSubjectKeyId,
  derUriConstraint,
} from "./certificate-builder.js";
import { oidBytes, parseDer } from "./der.js";
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
 * A certificate without URI is not constrained: the leaf gate is never optional. Roots that intermediates refer to by
 * issuer and serial number, instead of key identifier, are not found.
 *
 * Built once per `bundles`. Throws `bundle-empty`, `bundle-root-not-authority`, or why a root cannot be read.
 */
export function constrainedAnchors(bundles: ReadonlyMap<string, TrustBundle>): string {
  let pem = built.get(bundles);
  if (pem === undefined) {
    pem = [...bundles].map(([trustDomain, bundle]) => domainAnchors(trustDomain, bundle)).join("");
    if (pem === "") throw new IdentityError("bundle-empty", "no trust bundle at all");
    built.set(bundles, pem);
  }
  return pem;
}

function domainAnchors(trustDomain: string, bundle: TrustBundle): string {
  requireTrustDomain(trustDomain);
  const { publicKey, privateKey } = generateKey();
  const spki = parseDer(exportSpki(publicKey), 512);
  const name = derName(`anchor.${trustDomain}`);
  const anchor = buildCertificate({
    issuer: name,
    subject: name,
    spki,
    notBefore: anchorNotBefore,
    notAfter: anchorNotAfter,
    extensions: [derBasicConstraints(true), derKeyUsage(5), derUriConstraint(trustDomain), derSubjectKeyId(spki)],
    signer: privateKey,
  });
  const keyId = keyIdentifier(spkiBitsOf(spki));
  const copies = readRoots(bundle).map((root) =>
    buildCertificate({
      issuer: name,
      subject: root.subject,
      spki: root.spki,
      notBefore: root.notBefore,
      notAfter: root.notAfter,
      extensions: [...copiedExtensions(root, trustDomain), derAuthorityKeyId(keyId)],
      signer: privateKey,
    }),
  );
  return writeCertificatesPem([anchor, ...copies]);
}

function copiedExtensions(root: Certificate, trustDomain: string) {
  const dropped = oidBytes(oid.authorityKeyIdentifier);
  const constraints = oidBytes(oid.nameConstraints);
  const nodes = root.extensions.filter((extension) => extension.id !== dropped).map((extension) => extension.node);
  // Said twice, on the anchor and here: the root's own constraints, if it has any, stay and are met as well.
  if (!root.extensions.some((extension) => extension.id === constraints)) nodes.push(derUriConstraint(trustDomain));
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
