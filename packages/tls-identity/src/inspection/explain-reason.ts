import type { InspectionProblem } from "./inspection.js";

const explanations: Readonly<Record<string, string>> = Object.freeze({
  "der-too-long": "it is longer than anything that is read; is it what it should be?",
  "der-malformed": "it is not DER; the file may be cut, or something else",
  "der-not-canonical": "it is encoded in a way that DER does not allow; whoever made it has to mend that",
  "pem-malformed": "a PEM block is broken or of the wrong kind; write the file again",
  "certificate-malformed": "it cannot be read as a certificate",
  "certificate-version": "it is not an X.509 version 3 certificate",
  "certificate-algorithm": "the signature algorithm inside and outside differ",
  "certificate-extension-repeated": "an extension is there twice",
  "csr-malformed": "it cannot be read as a certificate signing request",
  "csr-algorithm": "it is not signed with ECDSA and SHA-256, the only algorithm that the identity service takes",
  "csr-key": "its key is not P-256, the only kind that the identity service takes",
  "csr-proof-of-possession": "it is not signed by the key that it is for",
  "csr-extension": "it does not ask for one name and nothing else, which is all that the identity service gives",
  "csr-identity": "it is not for exactly one id, or its subject is another name",
  "leaf-is-authority": "it may sign certificates (CA:TRUE), so it must not name a workload; issue a leaf with CA:FALSE",
  "leaf-key-usage-missing": "it has no key usage; issue it with a critical keyUsage of digitalSignature",
  "leaf-key-usage-not-critical": "its key usage is not critical; issue it with a critical keyUsage",
  "leaf-digital-signature-missing": "its key usage lacks digitalSignature",
  "leaf-key-usage-cert-sign": "its key usage has keyCertSign, which a workload must not have",
  "leaf-key-usage-crl-sign": "its key usage has cRLSign, which a workload must not have",
  "leaf-extended-key-usage":
    "its purposes are not both serverAuth and clientAuth; in cert-manager: usages [digital signature, server auth, client auth]",
  "leaf-key-weak": "its key is too weak; use EC P-256, P-384, P-521, Ed25519, or RSA of 2048 bits and more",
  "leaf-san-missing": "it has no subjectAltName; the SPIFFE id goes there, as a URI",
  "leaf-uri-missing": "it has no URI in its subjectAltName; the SPIFFE id goes there",
  "leaf-uri-many": "it has more than one URI; an SVID has exactly one",
  "leaf-uri-not-spiffe": "its URI does not begin with spiffe://",
  "leaf-id-malformed":
    "its URI is not a SPIFFE id: spiffe://<trust domain>/<path>, lower-case domain, no empty or dotted segments",
  "leaf-not-yet-valid": "it is not valid yet; are the clocks right?",
  "leaf-expired": "it has expired; find out why it was not renewed",
  "leaf-id-unexpected": "it is for another id than the one that is expected",
  "leaf-dns-not-allowed": "it is one of Linkerd's, with a DNS name instead of a SPIFFE id, which is not accepted here",
  "chain-empty": "there is no certificate, or there are too many",
  "chain-not-authority": "an issuer in the chain may not sign certificates",
  "chain-signature":
    "a certificate is not signed by the one that follows it; leaf first, then intermediates, without the root",
  "chain-expired": "a certificate of the chain, or the root, is not valid now",
  "chain-path-length": "there are more authorities in the chain than one of them allows",
  "chain-untrusted":
    "the chain does not lead to a root of the bundle; intermediates missing, or another trust domain's bundle?",
  "bundle-missing": "there is no bundle for its trust domain",
  "bundle-empty": "the bundle has no root",
  "bundle-root-not-authority": "a certificate in the bundle may not sign certificates, so it is no root",
  "bundle-malformed": "it is not a SPIFFE bundle document",
  "id-trust-domain": "the trust domain is malformed: lower-case letters, digits, dots, dashes and underscores",
  "svid-key-mismatch": "the private key does not belong to the certificate",
  "tls-version": "the server does not speak TLS 1.3, the only version that the mesh accepts",
});

/** A reason in words, with what to do about it. */
export function explainReason(reason: string, detail?: string): InspectionProblem {
  return { reason, text: explanations[reason] ?? detail ?? reason };
}

/** The reasons that can be explained. */
export const explainedReasons: readonly string[] = Object.freeze(Object.keys(explanations));
