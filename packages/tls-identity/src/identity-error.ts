/**
 * Every reason for which this package refuses something, one per rule. A reason is never renamed or reused; messages may change.
 */
export type IdentityReason =
  // identity grammar
  | "id-too-long"
  | "id-scheme"
  | "id-trust-domain"
  | "id-path-missing"
  | "id-path"
  | "id-dns-form"
  // DER, PEM, certificates, CSRs and keys as data
  | "der-too-long"
  | "der-malformed"
  | "der-not-canonical"
  | "pem-malformed"
  | "certificate-malformed"
  | "certificate-version"
  | "certificate-algorithm"
  | "certificate-extension-repeated"
  | "csr-malformed"
  | "csr-algorithm"
  | "csr-key"
  | "csr-proof-of-possession"
  | "csr-extension"
  | "csr-identity"
  | "key-malformed"
  // leaf gate
  | "leaf-is-authority"
  | "leaf-key-usage-missing"
  | "leaf-key-usage-not-critical"
  | "leaf-digital-signature-missing"
  | "leaf-key-usage-cert-sign"
  | "leaf-key-usage-crl-sign"
  | "leaf-extended-key-usage"
  | "leaf-san-missing"
  | "leaf-uri-missing"
  | "leaf-uri-many"
  | "leaf-uri-not-spiffe"
  | "leaf-id-malformed"
  | "leaf-key-weak"
  | "leaf-not-yet-valid"
  | "leaf-expired"
  | "leaf-id-unexpected"
  | "leaf-dns-not-allowed"
  // connections
  | "tls-not-authorized"
  | "tls-session-resumed"
  | "tls-version"
  | "tls-no-certificate"
  // chains and bundles as data
  | "chain-empty"
  | "chain-not-authority"
  | "chain-signature"
  | "chain-expired"
  | "chain-path-length"
  | "chain-untrusted"
  | "bundle-missing"
  | "bundle-empty"
  | "bundle-root-not-authority"
  | "bundle-malformed"
  | "bundle-fetch"
  // sources
  | "svid-key-mismatch"
  | "svid-id-mismatch"
  | "svid-unusable"
  | "svid-renewal-late"
  | "source-closed"
  | "source-options"
  | "file-missing"
  | "file-unreadable"
  | "file-unstable"
  | "file-key-exposed"
  | "file-write"
  | "dev-in-production"
  | "workload-api"
  | "certify-refused"
  | "certify-failed"
  // identity service
  | "authority-mismatch"
  | "authority-expired"
  | "token-refused"
  | "rule-refused"
  | "rule-malformed"
  | "rate-limited";

/** Details of an {@link IdentityError}. */
export interface IdentityErrorOptions {
  /** What failed below, if anything did. */
  readonly cause?: unknown;
  /** See {@link IdentityError.leftPercent}. */
  readonly leftPercent?: number;
}

const brand: unique symbol = Symbol.for("selvage.identity-error") as never;

/**
 * The one error class of this package. `reason` is from a closed list, so that a caller can count and compare; the message names
 * the value and the remedy, and is for people. Errors that foreign code throws are kept as `cause`.
 */
export class IdentityError extends Error {
  override readonly name = "IdentityError";
  readonly reason: IdentityReason;
  /** With `svid-renewal-late`: how much of the SVID's time is left, 50, 25 or 10. */
  readonly leftPercent: number | null;
  readonly [brand] = true;

  constructor(reason: IdentityReason, message: string, options?: IdentityErrorOptions) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.leftPercent = options?.leftPercent ?? null;
  }

  /** True also for errors of a second copy of this package in the same process, where `instanceof` is not. */
  static is(error: unknown): error is IdentityError {
    return typeof error === "object" && error !== null && (error as Record<symbol, unknown>)[brand] === true;
  }
}
