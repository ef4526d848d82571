import { type IdentityPattern, matchesIdentity } from "./identity-pattern.js";
import { foldPath } from "./normalize-path.js";
import type { PathPattern } from "./path-pattern.js";
import type { PolicyDefault } from "./policy-document.js";
import type { Rule } from "./rule.js";

/** What is allowed in a policy but cannot be what somebody meant: rules that never decide anything. */
export function policyWarnings(fallback: PolicyDefault, rules: readonly Rule[]): string[] {
  const warnings: string[] = [];
  const deny = rules.filter((rule) => rule.action === "deny");
  const allow = rules.filter((rule) => rule.action === "allow");
  const audit = rules.filter((rule) => rule.action === "audit");
  if (fallback === "deny" && allow.length + audit.length === 0) {
    warnings.push('nothing is allowed: the default is "deny" and no rule allows anything');
  }
  const ordered = [...deny, ...allow, ...audit];
  for (const [i, rule] of ordered.entries()) {
    const earlier = ordered.slice(0, i).find((other) => covers(other, rule));
    if (earlier !== undefined) {
      warnings.push(
        `rule "${rule.name}" never decides: "${earlier.name}" (${earlier.action}) matches all that it does`,
      );
    }
  }
  if (fallback === "all-unauthenticated") {
    for (const rule of allow) warnings.push(`rule "${rule.name}" changes nothing: the default allows everything`);
  }
  for (const rule of deny) {
    if (fallback === "deny" && ![...allow, ...audit].some((other) => meets(rule, other))) {
      warnings.push(`rule "${rule.name}" changes nothing: no rule allows anything to those that it denies`);
    }
  }
  return warnings;
}

/** Whether every request that `narrow` matches is matched by `wide` too, as far as two rules can tell. */
function covers(wide: Rule, narrow: Rule): boolean {
  return (
    narrow.from.every((identity) => wide.from.some((other) => coversIdentity(other, identity))) &&
    (wide.methods === null || (narrow.methods?.every((method) => wide.matchesMethod(method)) ?? false)) &&
    (wide.paths === null ||
      (narrow.paths?.every((path) => wide.paths!.some((other) => coversPath(other, path, wide))) ?? false))
  );
}

function coversIdentity(wide: IdentityPattern, narrow: IdentityPattern): boolean {
  switch (narrow.kind) {
    case "exact":
      return matchesIdentity(wide, narrow.id);
    case "prefix":
      return wide.kind === "any" || (wide.kind === "prefix" && narrow.prefix.startsWith(wide.prefix));
    default:
      return wide.kind === narrow.kind;
  }
}

function coversPath(wide: PathPattern, narrow: PathPattern, rule: Rule): boolean {
  const value = rule.action === "deny" ? foldPath(narrow.value) : narrow.value;
  if (narrow.kind === "prefix" && wide.kind === "exact") return false;
  return value === wide.value || (wide.kind === "prefix" && value.startsWith(`${wide.value}/`)) || wide.value === "";
}

function meets(one: Rule, other: Rule): boolean {
  return one.from.some((a) => other.from.some((b) => coversIdentity(a, b) || coversIdentity(b, a)));
}
