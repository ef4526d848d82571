import { foldPath, normalizePath } from "./normalize-path.js";
import type { PolicyDefault } from "./policy-document.js";
import type { Rule } from "./rule.js";

/** What a policy says about a request. Shared between requests, and frozen. */
export interface Verdict {
  readonly allow: boolean;
  /** The rule that decided, or the name of the default. Bounded, so that it can be a metric label. */
  readonly rule: string;
  /** For people: who, by which rule, why. Without method and path, which the one who logs it knows. */
  readonly reason: string;
  /** Allowed by an audit rule or default: to be reported, since it is not meant to last. */
  readonly audited: boolean;
}

interface Candidate {
  readonly rule: Rule;
  readonly verdict: Verdict;
}

/**
 * A policy as it is for one peer: only the rules about it, with the verdicts made in advance. To be kept with a
 * connection; deciding allocates nothing but, when a path needs it, its normal form.
 */
export class PeerPolicy {
  readonly #deny: readonly Candidate[];
  readonly #allow: readonly Candidate[];
  readonly #fallback: Verdict;
  /** A deny rule about paths, and a path that could be any. */
  readonly #ambiguous: ReadonlyMap<Rule, Verdict>;
  readonly #ambiguousFallback: Verdict;
  readonly #readsPath: boolean;
  readonly #deniesPaths: boolean;
  readonly #deniesMethods: boolean;

  /** `rules` in the order of the document. */
  constructor(peer: string | null, rules: readonly Rule[], fallback: PolicyDefault) {
    const who = peer ?? "unauthenticated peer";
    const about = rules.filter((rule) => rule.matchesPeer(peer));
    const candidates = (action: Rule["action"]) =>
      about.filter((rule) => rule.action === action).map((rule) => ({ rule, verdict: ruleVerdict(who, rule) }));
    this.#deny = candidates("deny");
    this.#allow = [...candidates("allow"), ...candidates("audit")];
    this.#fallback = defaultVerdict(who, peer !== null, fallback, about.length, "");
    this.#readsPath = about.some((rule) => rule.paths !== null);
    this.#deniesPaths = this.#deny.some(({ rule }) => rule.paths !== null);
    this.#deniesMethods = this.#deny.some(({ rule }) => rule.methods !== null);
    const ambiguous = "the path is ambiguous, so no rule for paths allows it";
    this.#ambiguousFallback = defaultVerdict(who, peer !== null, fallback, about.length, ambiguous);
    this.#ambiguous = new Map(this.#deny.map(({ rule }) => [rule, ambiguityVerdict(who, rule)]));
  }

  /** `path`: the request target, with or without its query. */
  decide(method: string, path: string): Verdict {
    const normal = this.#readsPath ? normalizePath(path) : "";
    const deny = this.#deny;
    if (deny.length > 0) {
      // Denied is whatever a lenient application could take for what is denied.
      const upper = this.#deniesMethods ? method.toUpperCase() : method;
      const folded = normal !== null && this.#deniesPaths ? foldPath(normal) : "";
      for (let i = 0; i < deny.length; i++) {
        const { rule, verdict } = deny[i]!;
        if (!rule.matchesMethod(upper)) continue;
        if (normal === null && rule.paths !== null) return this.#ambiguous.get(rule)!;
        if (rule.matchesPath(folded)) return verdict;
      }
    }
    const allow = this.#allow;
    for (let i = 0; i < allow.length; i++) {
      const { rule, verdict } = allow[i]!;
      if (rule.matchesMethod(method) && (rule.paths === null || (normal !== null && rule.matchesPath(normal))))
        return verdict;
    }
    return normal === null ? this.#ambiguousFallback : this.#fallback;
  }
}

function ruleVerdict(who: string, rule: Rule): Verdict {
  const allow = rule.action !== "deny";
  const reason = `${who} is ${allow ? "allowed" : "denied"} by ${rule.action === "audit" ? "audit " : ""}rule "${rule.name}"`;
  return Object.freeze({ allow, rule: rule.name, reason, audited: rule.action === "audit" });
}

function ambiguityVerdict(who: string, rule: Rule): Verdict {
  const reason = `${who} is denied by rule "${rule.name}": the path is ambiguous and could be one that it denies`;
  return Object.freeze({ allow: false, rule: rule.name, reason, audited: false });
}

function defaultVerdict(who: string, known: boolean, fallback: PolicyDefault, rules: number, more: string): Verdict {
  const allow =
    fallback === "all-unauthenticated" || fallback === "audit" || (fallback === "all-authenticated" && known);
  const why = more !== "" ? more : rules === 0 ? "no rule is about it" : "no rule about it matches";
  const reason = `${who} is ${allow ? "allowed" : "denied"} by the default "${fallback}": ${why}`;
  return Object.freeze({ allow, rule: fallback, reason, audited: fallback === "audit" });
}
