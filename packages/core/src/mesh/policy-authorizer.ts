import { LocalRateLimit, type Policy, type Verdict } from "@selvage/policy";
import type { MeshExchange } from "../exchange.js";
import type { Authorizer } from "../layers/authorize.js";
import type { RateLimiter } from "../layers/rate-limit.js";

const probe: Verdict = Object.freeze({ allow: true, rule: "probe", reason: "a configured probe path", audited: false });

/**
 * Inbound policy as it is now: verdicts and rate limits. A policy that is put in its place holds for the next request, on
 * open connections too.
 */
export class PolicyAuthorizer implements Authorizer, RateLimiter {
  readonly #probes: readonly string[];
  #policy: Policy;
  #limits: LocalRateLimit | null;

  /** `probes`: exact paths that GET and HEAD reach whatever the policy says. */
  constructor(policy: Policy, probes: readonly string[]) {
    this.#policy = policy;
    this.#limits = limitsOf(policy);
    this.#probes = probes;
  }

  get policy(): Policy {
    return this.#policy;
  }

  /** Puts another policy into force. Rate limits begin anew if they changed. */
  replace(policy: Policy): void {
    if (JSON.stringify(policy.rateLimit) !== JSON.stringify(this.#policy.rateLimit)) this.#limits = limitsOf(policy);
    this.#policy = policy;
  }

  decide(x: MeshExchange): Verdict {
    if (this.#probes.length > 0 && (x.method === "GET" || x.method === "HEAD") && this.#probes.includes(x.path))
      return probe;
    return this.#policy.decide(x.peer === null ? null : x.peer.toString(), x.method, x.path);
  }

  take(x: MeshExchange): number {
    return this.#limits === null ? 0 : this.#limits.take(x.peer === null ? null : x.peer.toString()).retryAfterMs;
  }
}

function limitsOf(policy: Policy): LocalRateLimit | null {
  return policy.rateLimit === null ? null : new LocalRateLimit(policy.rateLimit);
}
