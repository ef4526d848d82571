export {
  type Checked,
  checkDocument,
  type DocumentPath,
  type DocumentProblem,
  pathText,
  problemText,
  schemasAt,
  valueText,
} from "./document-problem.js";
export { type IdentityPattern, parseIdentityPattern, refuseSpiffeId, refuseTrustDomain } from "./identity-pattern.js";
export { LocalRateLimit, type LocalRateLimitOptions, type RateVerdict } from "./local-rate-limit.js";
export { nearestName } from "./nearest-name.js";
export { normalizePath } from "./normalize-path.js";
export { matchesPath, type PathPattern, parsePathPattern, type Refusal } from "./path-pattern.js";
export { PeerPolicy, type Verdict } from "./peer-policy.js";
export { Policy } from "./policy.js";
export type {
  PolicyDefault,
  PolicyDocument,
  QuotaDocument,
  QuotaOverrideDocument,
  RateLimitDocument,
  RuleAction,
  RuleDocument,
} from "./policy-document.js";
export { PolicyError } from "./policy-error.js";
export { policyDefaults, policySchema, rateLimitSchema, refuseMethod, rulesSchema } from "./policy-schema.js";
