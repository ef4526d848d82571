import { IdentityError } from "./identity-error.js";

/** How an identity is written: a SPIFFE URI, or the DNS name that Linkerd's proxies carry. */
export type IdKind = "spiffe" | "dns";

const maxIdBytes = 2048;
const scheme = "spiffe://";
// A leading or trailing dot would be a wildcard to X.509 name constraints (RFC 5280 section 4.2.1.10), so a trust domain has none.
const trustDomainPattern = /^(?!\.)[a-z0-9._-]{1,255}(?<!\.)$/;
const segmentPattern = /^[A-Za-z0-9._-]+$/;
const dnsLabelPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const sweepFloor = 1024;

const interned = new Map<string, WeakRef<SpiffeId>>();
let sweepAt = sweepFloor;
// Set by the class: its constructor stays private, so that every id went through the grammar and the table.
let intern: (kind: IdKind, text: string, trustDomain: string, path: string) => SpiffeId;

/**
 * Who a workload is, parsed once and interned: two ids are equal exactly if they are the same object (`===`), so an id can be a key
 * of a Map and costs nothing to compare. Ids nobody holds any more are forgotten, so the table is bounded by what is in use.
 *
 * Two forms are read: `spiffe://trust-domain/path` (SPIFFE-ID, strict: lower-case domain without leading or trailing dot, no port, user,
 * query, fragment, percent sign, empty or dot segment, at most 2048 bytes, and always a path, since an id without one names a
 * trust domain and no workload), and Linkerd's `account.namespace.serviceaccount.identity.control-plane-namespace.trust-domain`.
 * The two forms of one Kubernetes service account are different ids.
 */
export class SpiffeId {
  readonly kind: IdKind;
  readonly trustDomain: string;
  /** With its leading slash. Of the DNS form: the name without its trust domain, after a slash. */
  readonly path: string;
  readonly #text: string;

  private constructor(kind: IdKind, text: string, trustDomain: string, path: string) {
    this.kind = kind;
    this.#text = text;
    this.trustDomain = trustDomain;
    this.path = path;
    Object.freeze(this);
  }

  /** The id that `text` names. Throws an {@link IdentityError} with a reason `id-…` if it names none. */
  static parse(text: string): SpiffeId {
    const known = interned.get(text)?.deref();
    if (known !== undefined) return known;
    if (typeof text !== "string" || text.length > maxIdBytes) {
      throw new IdentityError("id-too-long", `an identity is at most ${maxIdBytes} bytes`);
    }
    return text.includes("://") ? parseUri(text) : parseDns(text);
  }

  /** As {@link SpiffeId.parse}, but null where that throws. */
  static tryParse(text: string): SpiffeId | null {
    try {
      return SpiffeId.parse(text);
    } catch (error) {
      if (IdentityError.is(error)) return null;
      throw error;
    }
  }

  static #intern(kind: IdKind, text: string, trustDomain: string, path: string): SpiffeId {
    if (interned.size >= sweepAt) {
      for (const [key, ref] of interned) if (ref.deref() === undefined) interned.delete(key);
      sweepAt = Math.max(sweepFloor, interned.size * 2);
    }
    const id = new SpiffeId(kind, text, trustDomain, path);
    interned.set(text, new WeakRef(id));
    return id;
  }

  static {
    intern = SpiffeId.#intern;
  }

  toString(): string {
    return this.#text;
  }

  toJSON(): string {
    return this.#text;
  }
}

/**
 * Throws unless `text` can be a trust domain: 1 to 255 of `a-z 0-9 . _ -`, not beginning or ending with a dot.
 */
export function requireTrustDomain(text: string): string {
  if (typeof text !== "string" || !trustDomainPattern.test(text)) {
    throw new IdentityError(
      "id-trust-domain",
      `${quote(text)} is not a trust domain: use a-z 0-9 . _ -, no dot at either end`,
    );
  }
  return text;
}

/** How many ids the table holds, dead ones that were not swept yet included. */
export function internedIds(): number {
  return interned.size;
}

function parseUri(text: string): SpiffeId {
  if (!text.startsWith(scheme)) throw new IdentityError("id-scheme", `${quote(text)} does not begin with ${scheme}`);
  const slash = text.indexOf("/", scheme.length);
  const trustDomain = requireTrustDomain(slash < 0 ? text.slice(scheme.length) : text.slice(scheme.length, slash));
  if (slash < 0) throw new IdentityError("id-path-missing", `${quote(text)} has no path, so it names no workload`);
  const path = text.slice(slash);
  for (const segment of path.slice(1).split("/")) {
    if (segment === "." || segment === ".." || !segmentPattern.test(segment)) {
      throw new IdentityError(
        "id-path",
        `${quote(text)} has the path segment ${quote(segment)}: use A-Z a-z 0-9 . _ -`,
      );
    }
  }
  return intern("spiffe", text, trustDomain, path);
}

function parseDns(text: string): SpiffeId {
  const labels = text.split(".");
  if (
    text.length > 253 ||
    labels.length < 6 ||
    labels[2] !== "serviceaccount" ||
    labels[3] !== "identity" ||
    !labels.every((label) => dnsLabelPattern.test(label))
  ) {
    throw new IdentityError(
      "id-dns-form",
      `${quote(text)} is neither spiffe://… nor account.namespace.serviceaccount.identity.…`,
    );
  }
  return intern("dns", text, labels.slice(5).join("."), `/${labels.slice(0, 5).join(".")}`);
}

function quote(text: unknown): string {
  return JSON.stringify(typeof text === "string" && text.length > 80 ? `${text.slice(0, 80)}…` : text) ?? "undefined";
}
