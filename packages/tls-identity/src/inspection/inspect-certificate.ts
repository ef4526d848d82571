import { type KeyObject, X509Certificate } from "node:crypto";
import {
  altNamesOf,
  basicConstraintsOf,
  type Certificate,
  keyUsageBit,
  keyUsageOf,
  oid,
  purposesOf,
  readCertificate,
} from "../certificate.js";
import { oidBytes } from "../der.js";
import { IdentityError } from "../identity-error.js";
import { SpiffeId } from "../spiffe-id.js";
import { admissionChecks, type LeafView, leafChecks } from "../verify.js";
import { explainReason } from "./explain-reason.js";
import type { Inspection, InspectionProblem } from "./inspection.js";

const purposeNames = new Map([
  [oidBytes(oid.serverAuth), "server auth"],
  [oidBytes(oid.clientAuth), "client auth"],
]);
const usageNames = [
  [keyUsageBit.digitalSignature, "digital signature"],
  [keyUsageBit.keyCertSign, "certificate signing"],
  [keyUsageBit.crlSign, "CRL signing"],
] as const;

/** A certificate with what is wrong with it as an SVID, or as an authority if that is what it is. Knows nothing of its chain. */
export function inspectCertificate(
  der: Uint8Array,
  now: number,
  as: "SVID" | "authority" | null,
  expected?: string,
): Inspection {
  let certificate: Certificate;
  try {
    certificate = readCertificate(der);
    const isAuthority = as === "authority" || (as === null && looksLikeAuthority(certificate));
    const problems = isAuthority ? authorityProblems(certificate, now) : leafProblems(certificate, now, expected);
    return { what: isAuthority ? "authority" : "SVID", facts: factsOf(certificate, now), problems };
  } catch (error) {
    return { what: as ?? "SVID", facts: { size: `${der.length} bytes` }, problems: [problemOf(error)] };
  }
}

/** May sign, and does not call itself a workload: whatever has an id with a path is meant to be an SVID. */
function looksLikeAuthority(certificate: Certificate): boolean {
  const names = altNamesOf(certificate.extensions);
  return basicConstraintsOf(certificate).authority && SpiffeId.tryParse(names?.uris[0] ?? "") === null;
}

/** What an error of this package says, in words. */
export function problemOf(error: unknown): InspectionProblem {
  if (IdentityError.is(error)) return explainReason(error.reason, error.message);
  throw error;
}

function leafProblems(certificate: Certificate, now: number, expected?: string): InspectionProblem[] {
  const names = altNamesOf(certificate.extensions);
  const uri = names?.uris[0];
  const id = SpiffeId.tryParse(uri ?? names?.dns[0] ?? "");
  const view: LeafView = {
    certificate,
    names,
    usage: keyUsageOf(certificate),
    id: id?.kind === (uri === undefined ? "dns" : "spiffe") ? id : null,
  };
  const reasons: string[] = leafChecks.filter((check) => check.broken(view)).map((check) => check.reason);
  if (view.id !== null) {
    const leaf = { id: view.id, notBefore: certificate.notBefore, notAfter: certificate.notAfter };
    const admission = {
      now,
      dnsTrustDomain: view.id.trustDomain,
      ...(expected && { expected: SpiffeId.parse(expected) }),
    };
    for (const check of admissionChecks) if (check.broken(leaf, admission)) reasons.push(check.reason);
  }
  return reasons.map((reason) => explainReason(reason));
}

function authorityProblems(certificate: Certificate, now: number): InspectionProblem[] {
  const problems: InspectionProblem[] = [];
  if (!basicConstraintsOf(certificate).authority || keyUsageOf(certificate)?.has(keyUsageBit.keyCertSign) === false)
    problems.push(explainReason("chain-not-authority"));
  if (now < certificate.notBefore || now > certificate.notAfter) problems.push(explainReason("chain-expired"));
  return problems;
}

function factsOf(certificate: Certificate, now: number): Inspection["facts"] {
  const x509 = new X509Certificate(certificate.raw);
  const names = altNamesOf(certificate.extensions);
  const usage = keyUsageOf(certificate);
  const purposes = purposesOf(certificate);
  const facts: Record<string, string | readonly string[]> = {};
  const uris = names?.uris ?? [];
  if (uris.length > 0) facts["id"] = uris.length === 1 ? uris[0]! : uris;
  if (names && names.dns.length > 0) facts["DNS names"] = names.dns;
  facts["valid"] = `${time(certificate.notBefore)} to ${time(certificate.notAfter)} (${left(certificate, now)})`;
  if (x509.subject !== "" && x509.subject !== undefined) facts["subject"] = oneLine(x509.subject);
  facts["issuer"] = oneLine(x509.issuer);
  facts["serial"] = certificate.serial.toString("hex");
  facts["key"] = describeKey(x509.publicKey);
  facts["key usage"] =
    usage === null
      ? "none"
      : [
          ...usageNames.filter(([bit]) => usage.has(bit)).map(([, name]) => name),
          ...(usage.critical ? [] : ["(not critical)"]),
        ];
  if (purposes !== null) facts["purposes"] = purposes.map((purpose): string => purposeNames.get(purpose) ?? "another");
  facts["sha256"] = x509.fingerprint256;
  return facts;
}

/** Kind and size of a key, such as `ec prime256v1`. */
export function describeKey({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string {
  const size = asymmetricKeyDetails?.namedCurve ?? asymmetricKeyDetails?.modulusLength ?? "";
  return `${asymmetricKeyType ?? "unknown"} ${size}`.trim();
}

function time(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}

const unitsMs = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** "2 days left", "expired 3 minutes ago", "begins in 1 hour". */
function left({ notBefore, notAfter }: Certificate, now: number): string {
  if (now < notBefore) return `begins in ${span(notBefore - now)}`;
  return now <= notAfter ? `${span(notAfter - now)} left` : `expired ${span(now - notAfter)} ago`;
}

function span(ms: number): string {
  const [name, unitMs] = unitsMs.find(([, unit]) => ms >= 2 * unit) ?? unitsMs[3];
  const count = Math.floor(ms / unitMs);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}
