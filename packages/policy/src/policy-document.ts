/** What happens to a request that no rule decides. */
export type PolicyDefault = "deny" | "all-authenticated" | "all-unauthenticated" | "audit";

export type RuleAction = "allow" | "deny" | "audit";

/** One entry of a policy document. See docs/policy.md. */
export interface RuleDocument {
  /** Unique in the document. A metric label. */
  name: string;
  /** SPIFFE ids, `spiffe://td/path/*` (whole segments), `*` (any authenticated peer), `unauthenticated`. */
  from: string[];
  /** Absent: any. Case-sensitive, as HTTP's methods are. */
  methods?: string[] | undefined;
  /** Exact (`/a/b`) or a prefix of whole segments (`/a/*`). Absent: any. */
  paths?: string[] | undefined;
  action: RuleAction;
}

/** A quota: a steady rate with a burst of one second's worth. */
export interface QuotaDocument {
  requestsPerSecond: number;
}

/** Local rate limits (linkerd's HTTPLocalRateLimitPolicy). */
export interface RateLimitDocument {
  /** Of all peers together. */
  total?: QuotaDocument | undefined;
  /** Of each identity; unauthenticated peers share one. */
  identity?: QuotaDocument | undefined;
  /** Quotas that replace `identity` for the peers named. */
  overrides?: QuotaOverrideDocument[] | undefined;
}

export interface QuotaOverrideDocument extends QuotaDocument {
  /** SPIFFE ids, exact. */
  from: string[];
}

/** A policy as people write it. Everything else is refused. */
export interface PolicyDocument {
  /** @defaultValue `"deny"` */
  default?: PolicyDefault | undefined;
  rules?: RuleDocument[] | undefined;
  rateLimit?: RateLimitDocument | undefined;
}
