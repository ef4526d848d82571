export type { IdentityErrorOptions, IdentityReason } from "./identity-error.js";
export { IdentityError } from "./identity-error.js";
export type { IdentitySnapshot, IdentitySource, TrustBundle } from "./identity-source.js";
export type { IdKind } from "./spiffe-id.js";
export { requireTrustDomain, SpiffeId } from "./spiffe-id.js";
