import { checkDocument } from "./document-problem.js";
import { PeerPolicy, type Verdict } from "./peer-policy.js";
import type { PolicyDefault, PolicyDocument, RateLimitDocument } from "./policy-document.js";
import { PolicyError } from "./policy-error.js";
import { policySchema } from "./policy-schema.js";
import { Rule } from "./rule.js";
import { policyWarnings } from "./rule-coverage.js";

/** Peers whose rules are kept at hand, twice at most. */
const maxPeers = 1024;

/**
 * Who may call what. Deny rules win, then the first allow rule in the order of the document, then the first audit rule,
 * then the default. Immutable: a changed document is a new policy.
 *
 * It judges identities, methods and paths only. Whether the peer proved its identity is for TLS; rate limits are kept by
 * `LocalRateLimit`. Unlike in Linkerd, `all-authenticated` and `*` include peers with SPIFFE ids.
 */
export class Policy {
  readonly default: PolicyDefault;
  readonly rateLimit: RateLimitDocument | null;
  /** What is allowed but probably not meant: rules that never decide, a policy that allows nothing. */
  readonly warnings: readonly string[];
  readonly #rules: readonly Rule[];
  readonly #unauthenticated: PeerPolicy;
  // Two generations: when the young one is full it becomes the old one. Peers that are still there move back.
  #young = new Map<string, PeerPolicy>();
  #old = new Map<string, PeerPolicy>();

  private constructor(document: PolicyDocument) {
    this.default = document.default ?? "deny";
    this.rateLimit = document.rateLimit ?? null;
    this.#rules = (document.rules ?? []).map((rule) => new Rule(rule));
    this.warnings = Object.freeze(policyWarnings(this.default, this.#rules));
    this.#unauthenticated = new PeerPolicy(null, this.#rules, this.default);
  }

  /**
   * Makes a policy of a document (what YAML or JSON gave). `where` names it in errors: a file's name. A document without
   * `default` denies.
   *
   * @throws PolicyError for anything unknown, malformed or contradictory, all problems at once.
   */
  static parse(document: unknown, where: string): Policy {
    const checked = checkDocument(policySchema, document);
    if (!checked.ok) throw new PolicyError(where, checked.problems);
    return new Policy(checked.value);
  }

  /** A policy without rules. */
  static default(name: PolicyDefault): Policy {
    return new Policy({ default: name });
  }

  /** `peer`: the verified identity's text, or `null`. `path`: the request target, with or without its query. */
  decide(peer: string | null, method: string, path: string): Verdict {
    return this.forPeer(peer).decide(method, path);
  }

  /** The policy as it is for one peer, to be kept as long as its connection lasts and this policy is in force. */
  forPeer(peer: string | null): PeerPolicy {
    if (peer === null) return this.#unauthenticated;
    const known = this.#young.get(peer);
    return known !== undefined ? known : this.#recall(peer);
  }

  #recall(peer: string): PeerPolicy {
    const policy = this.#old.get(peer) ?? new PeerPolicy(peer, this.#rules, this.default);
    if (this.#young.size >= maxPeers) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(peer, policy);
    return policy;
  }
}
