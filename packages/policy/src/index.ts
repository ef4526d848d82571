export type {
  PolicyDefault,
  PolicyDocument,
  QuotaDocument,
  QuotaOverrideDocument,
  RateLimitDocument,
  RuleAction,
  RuleDocument,
} from "./policy-document.js";
