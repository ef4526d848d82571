import { createPublicKey, X509Certificate } from "node:crypto";
import { readRoots } from "./anchors.js";
import { readCertificate } from "./certificate.js";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";
import { readCertificatesPem } from "./pem.js";
import { requireTrustDomain } from "./spiffe-id.js";

const maxKeys = 256;

/**
 * Reads a SPIFFE bundle document (SPIFFE Trust Domain and Bundle section 4): a JWK Set of which only keys with `use: "x509-svid"`
 * and, of these, only the first value of `x5c` count. Keys for JWT-SVIDs and unknown uses are skipped. Throws `bundle-malformed`,
 * `bundle-empty` or `bundle-root-not-authority`.
 */
export function parseBundleDocument(trustDomain: string, text: string): TrustBundle {
  requireTrustDomain(trustDomain);
  const document = parseObject(trustDomain, text);
  const { keys } = document;
  if (!Array.isArray(keys) || keys.length > maxKeys) throw malformed(trustDomain, "keys is not a list");
  const roots: Uint8Array[] = [];
  for (const key of keys as unknown[]) {
    if (typeof key !== "object" || key === null) throw malformed(trustDomain, "a key is not an object");
    const { use, x5c, kid } = key as { use?: unknown; x5c?: unknown; kid?: unknown };
    if (use !== "x509-svid") continue;
    if (kid !== undefined) throw malformed(trustDomain, "an x509-svid key has a kid");
    const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
    if (typeof first !== "string" || Buffer.from(first, "base64").toString("base64") !== first) {
      throw malformed(trustDomain, "an x509-svid key without a certificate in x5c");
    }
    roots.push(readCertificate(Buffer.from(first, "base64")).raw);
  }
  const sequence = wholeNumber(trustDomain, document, "spiffe_sequence");
  const refreshHint = wholeNumber(trustDomain, document, "spiffe_refresh_hint");
  const bundle: TrustBundle = {
    trustDomain,
    roots,
    ...(sequence !== null && { sequence }),
    ...(refreshHint !== null && { refreshHintMs: refreshHint * 1000 }),
  };
  readRoots(bundle);
  return bundle;
}

/** Writes a bundle as a SPIFFE bundle document. */
export function writeBundleDocument(bundle: TrustBundle): string {
  const keys = bundle.roots.map((der) => {
    const jwk = createPublicKey(new X509Certificate(der).publicKey.export({ type: "spki", format: "pem" })).export({
      format: "jwk",
    });
    return { use: "x509-svid", ...jwk, x5c: [Buffer.from(der).toString("base64")] };
  });
  return JSON.stringify({
    keys,
    ...(bundle.sequence !== undefined && { spiffe_sequence: bundle.sequence }),
    ...(bundle.refreshHintMs !== undefined && { spiffe_refresh_hint: Math.round(bundle.refreshHintMs / 1000) }),
  });
}

/** Reads a bundle from a file's text: a bundle document, or PEM certificates. */
export function parseBundle(trustDomain: string, text: string): TrustBundle {
  if (text.trimStart().startsWith("{")) return parseBundleDocument(trustDomain, text);
  return { trustDomain: requireTrustDomain(trustDomain), roots: readCertificatesPem(text) };
}

function parseObject(trustDomain: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new IdentityError("bundle-malformed", `the bundle document of ${trustDomain} is not JSON`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw malformed(trustDomain, "not an object");
  return value as Record<string, unknown>;
}

function wholeNumber(trustDomain: string, document: Record<string, unknown>, name: string): number | null {
  const value = document[name];
  if (value === undefined) return null;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw malformed(trustDomain, `${name} is not a whole number`);
  return value;
}

function malformed(trustDomain: string, what: string): IdentityError {
  return new IdentityError("bundle-malformed", `the bundle document of ${trustDomain}: ${what}`);
}
