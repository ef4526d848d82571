import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { parseBundle } from "../bundle-document.js";
import { verifyChain } from "../chain.js";
import { inspectableCsr } from "../csr.js";
import { IdentityError } from "../identity-error.js";
import { type PemBlock, readPem, splitDer } from "../pem.js";
import { SpiffeId } from "../spiffe-id.js";
import { describeKey, inspectCertificate, problemOf } from "./inspect-certificate.js";
import type { Inspection, InspectionProblem, InspectionTerms } from "./inspection.js";

/** Stands for a trust domain that a file of roots does not name. */
const anyTrustDomain = "unknown";

/**
 * Explains the content of a file: a certificate, a chain, a bundle (PEM or SPIFFE bundle document), a CSR; PEM or DER. Private keys
 * are compared with the certificate, and never shown. Throws `pem-malformed` if it is none of these.
 */
export function inspectMaterial(content: Uint8Array, terms: InspectionTerms = {}): Inspection[] {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const text = bytes.toString("latin1");
  if (text.trimStart().startsWith("{")) return inspectBundleDocument(bytes.toString("utf8"), terms);
  const blocks = text.includes("-----BEGIN ") ? readPem(text) : derBlocks(bytes);
  const chain = blocks.filter((block) => block.label === "CERTIFICATE").map((block) => block.der);
  const found: Inspection[] = chain.length > 0 ? inspectChain(chain, terms) : [];
  for (const block of blocks) {
    if (/^(NEW )?CERTIFICATE REQUEST$/.test(block.label)) found.push(inspectCsr(block.der, terms));
    else if (block.label.endsWith("PRIVATE KEY") && chain[0] !== undefined && !belongs(block, chain[0]))
      found[0] = withProblem(found[0]!, problemOf(new IdentityError("svid-key-mismatch", "")));
  }
  if (found.length === 0)
    throw new IdentityError("pem-malformed", "it holds no certificate, no bundle and no certificate signing request");
  return found;
}

/** Explains a chain, leaf first, and verifies it by the bundle of `terms` if there is one. A list of authorities is a bundle. */
export function inspectChain(chain: readonly Uint8Array[], terms: InspectionTerms = {}): Inspection[] {
  const now = terms.now ?? Date.now();
  const found = chain.map((der, index) =>
    inspectCertificate(der, now, index === 0 ? null : "authority", index === 0 ? terms.expected : undefined),
  );
  const first = found[0];
  if (first === undefined || first.what === "authority") return found;
  const id = first.facts["id"];
  const trustDomain = typeof id === "string" ? (SpiffeId.tryParse(id)?.trustDomain ?? anyTrustDomain) : anyTrustDomain;
  let verdict: string;
  let problem: InspectionProblem | null = null;
  try {
    if (terms.bundle !== undefined) {
      verifyChain(chain, parseBundle(trustDomain, terms.bundle), now);
      verdict = "leads to a root of the bundle";
    } else {
      const last = chain.at(-1)!;
      if (chain.length > 1) verifyChain(chain, { trustDomain, roots: [last] }, now);
      verdict = "not verified: give the bundle to verify it by";
    }
  } catch (error) {
    problem = problemOf(error);
    verdict = "broken";
  }
  const withChain = { ...first, facts: { ...first.facts, chain: `${chain.length} certificates, ${verdict}` } };
  const known =
    problem === null ||
    withChain.problems.some((one) => one.reason === "leaf-expired" && problem?.reason === "chain-expired");
  found[0] = known ? withChain : withProblem(withChain, problem!);
  return found;
}

function inspectBundleDocument(text: string, terms: InspectionTerms): Inspection[] {
  try {
    const bundle = parseBundle(anyTrustDomain, text);
    const facts = {
      roots: String(bundle.roots.length),
      sequence: bundle.sequence === undefined ? "none" : String(bundle.sequence),
      "refresh hint": bundle.refreshHintMs === undefined ? "none" : `${bundle.refreshHintMs / 1000} s`,
    };
    const roots = bundle.roots.map((der) => inspectCertificate(der, terms.now ?? Date.now(), "authority"));
    return [{ what: "bundle", facts, problems: [] }, ...roots];
  } catch (error) {
    return [{ what: "bundle", facts: {}, problems: [problemOf(error)] }];
  }
}

function inspectCsr(der: Uint8Array, { expected }: InspectionTerms): Inspection {
  try {
    const { uris, dns, spki, problem } = inspectableCsr(der);
    const names = { ...(uris.length > 0 && { id: uris }), ...(dns.length > 0 && { "DNS names": dns }) };
    const problems = problem === null ? [] : [withDetail(problem)];
    const [name = "nothing"] = [...uris, ...dns];
    if (problem === null && expected !== undefined && name !== expected)
      problems.push(withDetail(new IdentityError("csr-identity", `it is for ${name}, expected is ${expected}`)));
    return { what: "CSR", facts: { ...names, key: keyOf(spki) }, problems };
  } catch (error) {
    return { what: "CSR", facts: {}, problems: [problemOf(error)] };
  }
}

/** A reason of a CSR stands for several mistakes: which one it is helps whoever made it. */
function withDetail(error: IdentityError): InspectionProblem {
  const { reason, text } = problemOf(error);
  return { reason, text: text === error.message ? text : `${text} (${error.message})` };
}

function keyOf(spki: Buffer): string {
  try {
    return describeKey(createPublicKey({ key: spki, format: "der", type: "spki" }));
  } catch {
    return "unreadable";
  }
}

/** DER says nothing about what it is: a certificate has three parts before its names, a request one number and a name. */
function derBlocks(bytes: Buffer): PemBlock[] {
  try {
    const parts = splitDer(bytes);
    if (parts.length > 0 && parts.every((der) => isCertificate(der)))
      return parts.map((der) => ({ label: "CERTIFICATE", der }));
    if (parts.length === 1) return [{ label: "CERTIFICATE REQUEST", der: parts[0]! }];
  } catch {
    // Said below.
  }
  throw new IdentityError("pem-malformed", "it is neither PEM, nor DER, nor a SPIFFE bundle document");
}

function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der) !== null;
  } catch {
    return false;
  }
}

function belongs(key: PemBlock, leaf: Uint8Array): boolean {
  const type = key.label === "EC PRIVATE KEY" ? "sec1" : key.label === "RSA PRIVATE KEY" ? "pkcs1" : "pkcs8";
  try {
    return new X509Certificate(leaf).checkPrivateKey(createPrivateKey({ key: key.der, format: "der", type }));
  } catch {
    return false;
  }
}

function withProblem(inspection: Inspection, problem: InspectionProblem): Inspection {
  return { ...inspection, problems: [...inspection.problems, problem] };
}
