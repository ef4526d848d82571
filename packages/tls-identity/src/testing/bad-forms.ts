import { generateKeyPairSync } from "node:crypto";
import { oid } from "../certificate.js";
import { derAltNames, derBasicConstraints, derDnsName, derKeyUsage, derPurposes } from "../certificate-builder.js";
import { derBits, derBoolean, derContextBytes, derOctets, derOid, derSequence, encodeDer } from "../der.js";
import { type BadIdentity, leaf, peer, unknown, uri } from "./bad-identity.js";
import { replaceBytes, unwrap, uriName, wrap } from "./bad-leaf.js";

/** Leaves that are bad in themselves. */
export const badForms: readonly BadIdentity[] = [
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
      alternatives: ["EE_KEY_TOO_SMALL", "UNSPECIFIED"],
    },
  ),
  leaf("an Ed448 key", "leaf-key-weak", () => ({ key: generateKeyPairSync("ed448") }), {
    alternatives: ["ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS", "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"],
  }),
];

/** Leaves whose name is no id. */
export const badNames: readonly BadIdentity[] = [
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

/** Good leaves of somebody else. */
export const unexpectedIds: readonly BadIdentity[] = [
  ["another workload", "spiffe://a.example/ns/test/sa/other"],
  ["a name that begins with the expected one", `${peer}2`],
  ["a path below the expected one", `${peer}/x`],
  ["a path above the expected one", "spiffe://a.example/ns/test/sa"],
  ["the expected name in another case", "spiffe://a.example/ns/test/sa/Peer"],
].map(([name, text]) =>
  leaf(`${name} than the one expected`, "leaf-id-unexpected", { uris: [text!] }, { role: "server" }),
);

/** Certificates that OpenSSL reads with more tolerance than we do. */
export const badEncodings: readonly BadIdentity[] = [
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
