import { type Authority, createIssuer, createRoot } from "../authority.js";
import { readCertificate } from "../certificate.js";
import {
  buildCertificate,
  derAltNames,
  derBasicConstraints,
  derKeyUsage,
  derName,
  derSubjectKeyId,
  derUriConstraint,
} from "../certificate-builder.js";
import { derOid, derSequence, encodeDer, parseDer } from "../der.js";
import { exportSpki, generateKey } from "../key.js";
import { type BadIdentity, leaf, peer, unknown } from "./bad-identity.js";
import { type BadMaterial, material, replaceBytes, unknownExtension, uriName } from "./bad-leaf.js";
import { createAuthorityBelow, type TestTrust } from "./test-trust.js";

const hourMs = 3_600_000;

/** Chains that lead nowhere, or should not lead anywhere. */
export const badChains: readonly BadIdentity[] = [
  leaf("expired", "CERT_HAS_EXPIRED", (trust) => ({ notBefore: trust.now - 2 * hourMs, notAfter: trust.now - hourMs })),
  leaf("not yet valid", "CERT_NOT_YET_VALID", (trust) => ({
    notBefore: trust.now + hourMs,
    notAfter: trust.now + 2 * hourMs,
  })),
  leaf("below an issuer that has expired", "CERT_HAS_EXPIRED", (trust) => ({
    signer: authority(trust.a.root, { notBefore: trust.now - 2 * hourMs, notAfter: trust.now - hourMs }),
  })),
  { name: "self-signed", reason: "DEPTH_ZERO_SELF_SIGNED_CERT", alternatives: unknown, role: "both", make: selfSigned },
  leaf(
    "signed by an unknown authority",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    (trust) => ({ signer: strangers(trust).issuer }),
    {
      alternatives: unknown,
    },
  ),
  leaf(
    "signed by an unknown authority that sends its root along",
    "SELF_SIGNED_CERT_IN_CHAIN",
    (trust) => {
      const { root, issuer } = strangers(trust);
      return { signer: issuer, intermediates: [issuer.certificate.raw, root.certificate.raw] };
    },
    { alternatives: unknown },
  ),
  leaf(
    "signed by another key under the issuer's name",
    "CERT_SIGNATURE_FAILURE",
    (trust) => ({
      signer: { ...trust.a.issuer, key: generateKey().privateKey },
    }),
    { alternatives: unknown },
  ),
  leaf(
    "signed by a leaf",
    "INVALID_CA",
    (trust) => {
      const between = authority(trust.a.issuer, { authority: false, keyUsage: 0 });
      return { signer: between, intermediates: [between.certificate.raw, trust.a.issuer.certificate.raw] };
    },
    { alternatives: ["INVALID_PURPOSE", "PATH_LENGTH_EXCEEDED", "UNSPECIFIED"] },
  ),
  leaf(
    "below an issuer without the CA flag",
    "INVALID_CA",
    (trust) => ({ signer: authority(trust.a.root, { authority: false }) }),
    {
      alternatives: ["INVALID_PURPOSE"],
    },
  ),
  leaf(
    "below an issuer without keyCertSign",
    "INVALID_CA",
    (trust) => ({ signer: authority(trust.a.root, { keyUsage: 6 }) }),
    {
      alternatives: ["UNSPECIFIED", ...unknown],
    },
  ),
  leaf("below one authority too many", "PATH_LENGTH_EXCEEDED", (trust) => {
    const below = createAuthorityBelow(trust.a.openIssuer, "below", trust.now);
    return { signer: below, intermediates: [below.certificate.raw, trust.a.openIssuer.certificate.raw] };
  }),
  leaf(
    "an unknown critical extension",
    "UNSPECIFIED",
    { extra: [unknownExtension()] },
    { alternatives: ["UNHANDLED_CRITICAL_EXTENSION"] },
  ),
  leaf(
    "below an issuer with an unknown critical extension",
    "UNSPECIFIED",
    (trust) => ({
      signer: authority(trust.a.root, { unknown: true }),
    }),
    { alternatives: ["UNHANDLED_CRITICAL_EXTENSION"] },
  ),
  leaf("without the intermediate", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", { intermediates: [] }, { alternatives: unknown }),
  leaf("with a signature that was changed", "CERT_SIGNATURE_FAILURE", {
    alterRaw: (raw) => {
      const copy = Buffer.from(raw);
      copy[copy.length - 1]! ^= 1;
      return copy;
    },
  }),
  leaf("with a name that was changed after signing", "CERT_SIGNATURE_FAILURE", {
    uris: ["spiffe://a.example/ns/test/sa/pear"],
    alterRaw: (raw) => replaceBytes(raw, Buffer.from("sa/pear"), Buffer.from("sa/peer")),
  }),
  leaf(
    "signed with SHA-1",
    "CA_MD_TOO_WEAK",
    (trust) => ({
      signer: trust.a.issuer,
      algorithm: { identifier: encodeDer(derSequence(derOid("1.2.840.10045.4.1"))), digest: "sha1" },
    }),
    { alternatives: ["UNSPECIFIED", "EE_MD_TOO_WEAK"] },
  ),
  authorityAsPeer("the issuer's own certificate", (trust) => [trust.a.issuer]),
  authorityAsPeer("the root's own certificate", (trust) => [trust.a.root]),
  { name: "no certificate", reason: "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", role: "client", make: () => null },
  leaf(
    "TLS 1.2",
    "ERR_SSL_UNSUPPORTED_PROTOCOL",
    {},
    {
      alternatives: ["ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"],
      tls: { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" },
    },
  ),
];

/** Trust domains that speak for each other. */
export const badFederation: readonly BadIdentity[] = [
  leaf(
    "an id of this domain signed by a federated domain's issuer",
    "UNSPECIFIED",
    (trust) => ({ signer: trust.b.issuer }),
    {
      alternatives: unknown,
    },
  ),
  leaf(
    "an id of this domain signed by a federated domain without name constraints",
    "UNSPECIFIED",
    (trust) => ({
      signer: trust.b.openIssuer,
    }),
    { alternatives: unknown },
  ),
  leaf(
    "an id of this domain signed by a federated domain's root itself",
    "UNSPECIFIED",
    (trust) => ({
      signer: trust.b.root,
      intermediates: [],
    }),
    { alternatives: unknown },
  ),
  leaf(
    "an id of a federated domain signed by this domain",
    "UNSPECIFIED",
    (trust) => ({
      signer: trust.a.openIssuer,
      uris: ["spiffe://b.example/ns/test/sa/peer"],
    }),
    { alternatives: [...unknown, "leaf-id-unexpected"] },
  ),
  leaf(
    "an id of a domain that nobody believes",
    "UNSPECIFIED",
    (trust) => ({
      signer: trust.a.openIssuer,
      uris: ["spiffe://c.example/ns/test/sa/peer"],
    }),
    { alternatives: ["leaf-id-unexpected"] },
  ),
  leaf(
    "ids of this and a federated domain together",
    "UNSPECIFIED",
    (trust) => ({
      signer: trust.a.openIssuer,
      uris: [peer, "spiffe://b.example/ns/test/sa/peer"],
    }),
    { alternatives: ["leaf-uri-many"] },
  ),
  leaf(
    "a federated domain's issuer cross-signed by its own root under this domain's name",
    "UNSPECIFIED",
    (trust) => {
      const twin = {
        ...trust.b.root,
        certificate: { ...trust.b.root.certificate, subject: trust.a.root.certificate.subject },
      };
      const between = authority(twin, {});
      return { signer: between };
    },
    { alternatives: unknown },
  ),
];

interface AuthorityRecipe {
  readonly authority?: boolean;
  readonly keyUsage?: number;
  readonly unknown?: boolean;
  readonly notBefore?: number;
  readonly notAfter?: number;
}

function authority(parent: Authority, recipe: AuthorityRecipe): Authority {
  const pair = generateKey();
  const spki = parseDer(exportSpki(pair.publicKey), 512);
  const der = buildCertificate({
    issuer: parent.certificate.subject,
    subject: derName(`odd.${parent.trustDomain}`),
    spki,
    notBefore: recipe.notBefore ?? parent.certificate.notBefore,
    notAfter: recipe.notAfter ?? parent.certificate.notAfter,
    extensions: [
      derBasicConstraints(recipe.authority ?? true),
      derKeyUsage(recipe.keyUsage ?? 5),
      derUriConstraint(parent.trustDomain),
      derSubjectKeyId(spki),
      ...(recipe.unknown ? [unknownExtension()] : []),
    ],
    signer: parent.key,
  });
  return { trustDomain: parent.trustDomain, certificate: readCertificate(der), key: pair.privateKey };
}

function strangers(trust: TestTrust): { readonly root: Authority; readonly issuer: Authority } {
  const validity = { now: trust.now, lifetimeMs: 10 * hourMs };
  const root = createRoot("a.example", validity);
  return { root, issuer: createIssuer(root, validity) };
}

function selfSigned(trust: TestTrust): BadMaterial {
  const key = generateKey();
  const name = derName("self");
  const raw = buildCertificate({
    issuer: name,
    subject: name,
    spki: parseDer(exportSpki(key.publicKey), 512),
    notBefore: trust.now - 60_000,
    notAfter: trust.now + hourMs,
    extensions: [derBasicConstraints(false), derKeyUsage(0), derAltNames(true, uriName(peer))],
    signer: key.privateKey,
  });
  return material([raw], key.privateKey);
}

function authorityAsPeer(name: string, pick: (trust: TestTrust) => readonly Authority[]): BadIdentity {
  const make = (trust: TestTrust) =>
    material(
      pick(trust).map((one) => one.certificate.raw),
      pick(trust)[0]!.key,
    );
  const alternatives = ["INVALID_PURPOSE", "ERR_SSL_WRONG_CERTIFICATE_TYPE", ...unknown];
  return { name, reason: "leaf-is-authority", alternatives, role: "both", make };
}
