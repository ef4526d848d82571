import { generateKeyPairSync } from "node:crypto";
import { type Authority, createIssuer, createRoot } from "../authority.js";
import { oid, readCertificate } from "../certificate.js";
import {
  buildCertificate,
  derAltNames,
  derBasicConstraints,
  derDnsName,
  derKeyUsage,
  derName,
  derPurposes,
  derSubjectKeyId,
  derUriConstraint,
} from "../certificate-builder.js";
import { derBits, derBoolean, derContextBytes, derOctets, derOid, derSequence, encodeDer, parseDer } from "../der.js";
import { exportSpki, generateKey } from "../key.js";
import {
  type BadMaterial,
  bakeLeaf,
  type LeafRecipe,
  material,
  replaceBytes,
  unknownExtension,
  unwrap,
  uriName,
  wrap,
} from "./bad-leaf.js";
import { createAuthorityBelow, type TestTrust, testPeerId } from "./test-trust.js";

/** One peer that must be refused, with the reason. */
export interface BadIdentity {
  readonly name: string;
  /** An `IdentityReason` of the leaf gate, or OpenSSL's code where OpenSSL refuses first. */
  readonly reason: string;
  /** Other reasons that are as good: what OpenSSL says differs by side and version. */
  readonly alternatives?: readonly string[];
  /** On which side of the connection the bad peer stands. */
  readonly role: "client" | "server" | "both";
  /** TLS options that the bad peer uses beside its certificate. */
  readonly tls?: { readonly minVersion?: "TLSv1.2"; readonly maxVersion?: "TLSv1.2" };
  /** What it presents to somebody who holds the bundles of `trust.a` and `trust.b`. Null: no certificate at all. */
  readonly make: (trust: TestTrust) => BadMaterial | null;
}

const peer = testPeerId.toString();
const hourMs = 3_600_000;
// "unsupported name syntax", "permitted subtree violation" and the like are all UNSPECIFIED to Node.
const constraint = ["UNSPECIFIED", "ERR_TLS_CERT_ALTNAME_INVALID"];
const unknown = [
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
];

type Rest = Partial<Pick<BadIdentity, "alternatives" | "role" | "tls">>;

function leaf(
  name: string,
  reason: string,
  recipe: LeafRecipe | ((trust: TestTrust) => LeafRecipe),
  rest: Rest = {},
): BadIdentity {
  const make = (trust: TestTrust) => bakeLeaf(trust, typeof recipe === "function" ? recipe(trust) : recipe);
  return { role: "both", ...rest, name, reason, make };
}

function uri(name: string, reason: string, text: string, alternatives: readonly string[] = constraint): BadIdentity {
  return leaf(name, reason, { uris: [text] }, { alternatives });
}

const form: readonly BadIdentity[] = [
  leaf("a leaf that is an authority", "leaf-is-authority", { basicConstraints: derBasicConstraints(true) }),
  leaf("a leaf that is an authority and may sign", "leaf-is-authority", {
    basicConstraints: derBasicConstraints(true),
    keyUsage: derKeyUsage(0, 5),
  }),
  leaf("no key usage", "leaf-key-usage-missing", { keyUsage: null }),
  leaf("key usage that is not critical", "leaf-key-usage-not-critical", {
    keyUsage: derSequence(derOid(oid.keyUsage), derOctets(encodeDer(derBits(Buffer.from([0x80]), 7)))),
  }),
  leaf(
    "key usage without digitalSignature",
    "leaf-digital-signature-missing",
    { keyUsage: derKeyUsage(4) },
    {
      alternatives: ["INVALID_PURPOSE", "ERR_SSL_WRONG_CERTIFICATE_TYPE", "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR"],
    },
  ),
  leaf(
    "key usage with keyCertSign",
    "leaf-key-usage-cert-sign",
    { keyUsage: derKeyUsage(0, 5) },
    { alternatives: ["INVALID_PURPOSE"] },
  ),
  leaf("key usage with cRLSign", "leaf-key-usage-crl-sign", { keyUsage: derKeyUsage(0, 6) }),
  leaf(
    "for servers only, as a server",
    "leaf-extended-key-usage",
    { purposes: derPurposes(oid.serverAuth) },
    { role: "server" },
  ),
  leaf(
    "for clients only, as a client",
    "leaf-extended-key-usage",
    { purposes: derPurposes(oid.clientAuth) },
    { role: "client" },
  ),
  leaf(
    "for servers only, as a client",
    "INVALID_PURPOSE",
    { purposes: derPurposes(oid.serverAuth) },
    { role: "client" },
  ),
  leaf(
    "for clients only, as a server",
    "INVALID_PURPOSE",
    { purposes: derPurposes(oid.clientAuth) },
    { role: "server" },
  ),
  leaf("for code signing", "INVALID_PURPOSE", { purposes: derPurposes("1.3.6.1.5.5.7.3.3") }),
  leaf(
    "for any purpose, not for the two",
    "leaf-extended-key-usage",
    { purposes: derPurposes("2.5.29.37.0") },
    {
      alternatives: ["INVALID_PURPOSE"],
    },
  ),
  leaf("no subjectAltName", "leaf-san-missing", { names: null }),
  leaf("a DNS name and no URI", "leaf-uri-missing", { names: [derDnsName("peer.a.example")] }),
  leaf("an IP address and no URI", "leaf-uri-missing", { names: [derContextBytes(7, Buffer.from([127, 0, 0, 1]))] }),
  leaf("an e-mail address and no URI", "leaf-uri-missing", {
    names: [derContextBytes(1, Buffer.from("peer@a.example"))],
  }),
  leaf("a DNS name that tries to smuggle a URI", "leaf-uri-missing", { names: [derDnsName(`x, URI:${peer}`)] }),
  leaf("a SPIFFE id in a DNS name", "leaf-uri-missing", { names: [derDnsName(peer)] }),
  leaf(
    "Linkerd's form of name where it was not asked for",
    "leaf-dns-not-allowed",
    {
      names: [derDnsName("peer.test.serviceaccount.identity.linkerd.a.example")],
    },
    { role: "client" },
  ),
  leaf(
    "Linkerd's form of name where a SPIFFE id is expected",
    "leaf-id-unexpected",
    {
      names: [derDnsName("peer.test.serviceaccount.identity.linkerd.a.example")],
    },
    { role: "server" },
  ),
  leaf("two URIs", "leaf-uri-many", { uris: [peer, "spiffe://a.example/ns/test/sa/admin"] }),
  leaf("the same URI twice", "leaf-uri-many", { uris: [peer, peer] }),
  leaf("a second URI that is no SPIFFE id", "leaf-uri-many", { uris: [peer, "https://a.example/x"] }),
  leaf(
    "an RSA key of 1024 bits",
    "leaf-key-weak",
    () => ({ key: generateKeyPairSync("rsa", { modulusLength: 1024 }) }),
    {
      alternatives: ["EE_KEY_TOO_SMALL"],
    },
  ),
  leaf("an Ed448 key", "leaf-key-weak", () => ({ key: generateKeyPairSync("ed448") }), {
    alternatives: ["ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS", "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"],
  }),
];

const names: readonly BadIdentity[] = [
  uri("an https URI", "leaf-uri-not-spiffe", "https://a.example/ns/test/sa/peer"),
  uri("an upper-case scheme", "leaf-uri-not-spiffe", "SPIFFE://a.example/ns/test/sa/peer"),
  uri("a scheme that only begins like spiffe", "leaf-uri-not-spiffe", "spiffex://a.example/ns/test/sa/peer"),
  uri("a URI without authority", "UNSPECIFIED", "spiffe:/a.example/ns/test/sa/peer", ["leaf-uri-not-spiffe"]),
  uri("an empty URI", "UNSPECIFIED", "", ["leaf-uri-not-spiffe"]),
  uri("Linkerd's form of name in a URI", "UNSPECIFIED", "peer.test.serviceaccount.identity.linkerd.a.example", [
    "leaf-uri-not-spiffe",
  ]),
  uri("an id without a path", "leaf-id-malformed", "spiffe://a.example"),
  uri("an id with an empty path", "leaf-id-malformed", "spiffe://a.example/"),
  uri("an upper-case trust domain", "leaf-id-malformed", "spiffe://A.example/ns/test/sa/peer"),
  uri("a port", "leaf-id-malformed", "spiffe://a.example:1/ns/test/sa/peer"),
  uri("a user", "leaf-id-malformed", "spiffe://b@a.example/ns/test/sa/peer"),
  uri("a query", "leaf-id-malformed", `${peer}?x=y`),
  uri("a fragment", "leaf-id-malformed", `${peer}#x`),
  uri("an escaped slash", "leaf-id-malformed", "spiffe://a.example/ns/test/sa%2fpeer"),
  uri("an escaped letter", "leaf-id-malformed", "spiffe://a.example/ns/test/sa/%70eer"),
  uri("an empty segment", "leaf-id-malformed", "spiffe://a.example/ns//test/sa/peer"),
  uri("a dot segment", "leaf-id-malformed", "spiffe://a.example/ns/./test/sa/peer"),
  uri("a dot-dot segment", "leaf-id-malformed", "spiffe://a.example/ns/x/../test/sa/peer"),
  uri("a trailing slash", "leaf-id-malformed", `${peer}/`),
  uri("an id that is too long", "leaf-id-malformed", `${peer}/${"x".repeat(2048)}`),
  uri("a NUL at the end", "leaf-id-malformed", `${peer}\0`),
  uri("a NUL before another domain", "leaf-id-malformed", `${peer}\0.b.example`),
  uri("a letter that is cut to eight bits elsewhere", "leaf-id-malformed", "spiffe://a.example/ns/test/sa/p\xc5er"),
  uri("a newline", "leaf-id-malformed", `${peer}\nspiffe://a.example/admin`),
  uri("a comma with another URI behind it", "leaf-id-malformed", `spiffe://a.example/x, URI:${peer}`),
  uri("a space", "leaf-id-malformed", "spiffe://a.example/ns/test/sa/pe er"),
  uri("a backslash", "leaf-id-malformed", "spiffe://a.example\\ns/test/sa/peer"),
  uri(
    "a longer trust domain with the right one inside",
    "UNSPECIFIED",
    "spiffe://a.example.evil/ns/test/sa/peer",
    unknown,
  ),
  uri("a subdomain of the trust domain", "UNSPECIFIED", "spiffe://sub.a.example/ns/test/sa/peer", unknown),
];

const unexpected: readonly BadIdentity[] = [
  ["another workload", "spiffe://a.example/ns/test/sa/other"],
  ["a name that begins with the expected one", `${peer}2`],
  ["a path below the expected one", `${peer}/x`],
  ["a path above the expected one", "spiffe://a.example/ns/test/sa"],
  ["the expected name in another case", "spiffe://a.example/ns/test/sa/Peer"],
].map(([name, text]) =>
  leaf(`${name} than the one expected`, "leaf-id-unexpected", { uris: [text!] }, { role: "server" }),
);

const chains: readonly BadIdentity[] = [
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

const federation: readonly BadIdentity[] = [
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

const encodings: readonly BadIdentity[] = [
  leaf(
    "an extension twice",
    "certificate-extension-repeated",
    { extra: [derAltNames(true, uriName("spiffe://a.example/admin"))] },
    {
      alternatives: ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "INVALID_PURPOSE"],
    },
  ),
  leaf("a default that is written out", "der-not-canonical", {
    extra: [derSequence(derOid("1.3.6.1.4.1.55555.2"), derBoolean(false), derOctets(Buffer.from([5, 0])))],
  }),
  leaf("a BOOLEAN that is neither 00 nor ff", "der-not-canonical", {
    alterTbs: (tbs) => replaceBytes(tbs, Buffer.from([1, 1, 0xff]), Buffer.from([1, 1, 1])),
  }),
  leaf("a length that is longer than needed", "der-not-canonical", {
    alterTbs: (tbs) => wrap(0x30, replaceBytes(unwrap(tbs), Buffer.from([2, 16]), Buffer.from([2, 0x81, 16]))),
  }),
  leaf(
    "names that are not DER",
    "certificate-malformed",
    {
      names: null,
      extra: [derSequence(derOid(oid.subjectAltName), derOctets(Buffer.from([5, 0])))],
    },
    { alternatives: ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "INVALID_PURPOSE"] },
  ),
  leaf("a certificate that is too long", "der-too-long", {
    extra: [derSequence(derOid("1.3.6.1.4.1.55555.3"), derOctets(Buffer.alloc(20_000)))],
  }),
];

/**
 * Peers that must be refused, by name. For tests that connect as one of them to whatever verifies peers, or are connected to as
 * one of them, while the other side holds a good SVID and the bundles of both test domains.
 */
export const badIdentities: readonly BadIdentity[] = [
  ...form,
  ...names,
  ...unexpected,
  ...chains,
  ...federation,
  ...encodings,
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
