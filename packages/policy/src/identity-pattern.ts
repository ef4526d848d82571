import { nearestName } from "./nearest-name.js";
import type { Refusal } from "./path-pattern.js";

/**
 * Who a rule is about. `prefix` holds everything up to and with the last slash, so that whole segments count and at least
 * one more follows; `any` is every authenticated peer.
 */
export type IdentityPattern =
  | { readonly kind: "exact"; readonly id: string }
  | { readonly kind: "prefix"; readonly prefix: string }
  | { readonly kind: "any" }
  | { readonly kind: "unauthenticated" };

const scheme = "spiffe://";
const words = ["*", "unauthenticated"];

/**
 * Reads `spiffe://td/path`, `spiffe://td/path/*`, `*`, `unauthenticated`, or the DNS form of an identity that Linkerd uses
 * (`web.shop.serviceaccount.identity.linkerd.cluster.local`).
 */
export function parseIdentityPattern(text: string): IdentityPattern | Refusal {
  if (text === "*") return { kind: "any" };
  if (text === "unauthenticated") return { kind: "unauthenticated" };
  if (!text.startsWith(scheme)) {
    if (isDnsIdentity(text)) return { kind: "exact", id: text };
    const nearest = nearestName(text, words);
    const remedy =
      nearest === null ? 'write "spiffe://trust-domain/path", "*" or "unauthenticated"' : `did you mean "${nearest}"?`;
    return { problem: "must be an identity", remedy };
  }
  const prefix = text.endsWith("/*");
  const id = prefix ? text.slice(0, -2) : text;
  const refusal = refuseSpiffeId(id, prefix);
  if (refusal !== null) return refusal;
  return prefix ? { kind: "prefix", prefix: `${id}/` } : { kind: "exact", id };
}

/** `null` for a SPIFFE id of a workload (SPIFFE-ID, section 2), or why it is none. */
export function refuseSpiffeId(id: string, mayLackPath = false): Refusal | null {
  if (!id.startsWith(scheme)) return { problem: "must be a SPIFFE id", remedy: 'write "spiffe://trust-domain/path"' };
  if (id.length > 2048) return { problem: "must be at most 2048 characters long", remedy: "" };
  const [trustDomain = "", ...segments] = id.slice(scheme.length).split("/");
  const refusal = refuseTrustDomain(trustDomain);
  if (refusal !== null)
    return { problem: `must have a valid trust domain (it ${refusal.problem})`, remedy: refusal.remedy };
  if (segments.length === 0 && !mayLackPath) {
    return { problem: "must name a workload, not only its trust domain", remedy: `write "${id}/…" or "${id}/*"` };
  }
  for (const segment of segments) {
    if (segment === "" || segment === "." || segment === ".." || !every(segment, isPathCharacter)) {
      return {
        problem: "must have a valid path",
        remedy: 'segments consist of letters, digits, ".", "-" and "_"; "*" may stand for all that follows a "/" only',
      };
    }
  }
  return null;
}

/** `null` for a trust domain's name (SPIFFE-ID, section 2.1), or why it is none. */
export function refuseTrustDomain(name: string): Refusal | null {
  if (name === "" || name.length > 255) return { problem: "must be 1 to 255 characters long", remedy: "" };
  if (every(name, isTrustDomainCharacter)) return null;
  const lower = name.toLowerCase();
  const remedy = every(lower, isTrustDomainCharacter) ? `write "${lower}"` : "";
  return { problem: 'must consist of lower-case letters, digits, ".", "-" and "_"', remedy };
}

export function matchesIdentity(pattern: IdentityPattern, peer: string | null): boolean {
  switch (pattern.kind) {
    case "unauthenticated":
      return peer === null;
    case "any":
      return peer !== null;
    case "exact":
      return peer === pattern.id;
    case "prefix":
      return peer !== null && peer.length > pattern.prefix.length && peer.startsWith(pattern.prefix);
  }
}

function isDnsIdentity(text: string): boolean {
  const labels = text.split(".");
  return (
    text.length <= 253 &&
    labels.length > 1 &&
    labels.every((label) => label !== "" && every(label, (c) => c !== 0x5f && isTrustDomainCharacter(c)))
  );
}

function every(text: string, accepts: (c: number) => boolean): boolean {
  for (let i = 0; i < text.length; i++) if (!accepts(text.charCodeAt(i))) return false;
  return true;
}

function isTrustDomainCharacter(c: number): boolean {
  return (c >= 0x61 && c <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x2e || c === 0x5f;
}

function isPathCharacter(c: number): boolean {
  return isTrustDomainCharacter(c) || (c >= 0x41 && c <= 0x5a);
}
