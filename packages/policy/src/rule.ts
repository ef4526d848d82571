import { type IdentityPattern, matchesIdentity, parseIdentityPattern } from "./identity-pattern.js";
import { foldPath } from "./normalize-path.js";
import { matchesPath, type PathPattern, parsePathPattern } from "./path-pattern.js";
import type { RuleAction, RuleDocument } from "./policy-document.js";

/** A rule of a document that was checked, ready to be matched. */
export class Rule {
  readonly name: string;
  readonly action: RuleAction;
  readonly from: readonly IdentityPattern[];
  /** `null`: any. */
  readonly methods: readonly string[] | null;
  /** `null`: any. Those of deny rules are folded. */
  readonly paths: readonly PathPattern[] | null;

  constructor(document: RuleDocument) {
    this.name = document.name;
    this.action = document.action;
    this.from = document.from.map((text) => parseIdentityPattern(text) as IdentityPattern);
    const deny = document.action === "deny";
    this.methods = document.methods === undefined ? null : deny ? widened(document.methods) : document.methods;
    const paths = document.paths?.map((text) => parsePathPattern(text) as PathPattern);
    this.paths = paths === undefined ? null : deny ? paths.map(folded) : paths;
  }

  matchesPeer(peer: string | null): boolean {
    for (const pattern of this.from) if (matchesIdentity(pattern, peer)) return true;
    return false;
  }

  matchesMethod(method: string): boolean {
    const methods = this.methods;
    if (methods === null) return true;
    for (let i = 0; i < methods.length; i++) if (methods[i] === method) return true;
    return false;
  }

  /** `path`: as `normalizePath` gave it, folded for deny rules; not null. */
  matchesPath(path: string): boolean {
    const paths = this.paths;
    if (paths === null) return true;
    for (let i = 0; i < paths.length; i++) if (matchesPath(paths[i]!, path)) return true;
    return false;
  }
}

/** Applications answer HEAD with what they do for GET, so a deny rule for GET is one for HEAD too. Compared in upper case. */
function widened(methods: readonly string[]): readonly string[] {
  const upper = methods.map((method) => method.toUpperCase());
  return upper.includes("GET") && !upper.includes("HEAD") ? [...upper, "HEAD"] : upper;
}

function folded(pattern: PathPattern): PathPattern {
  if (pattern.value === "") return pattern;
  const value = foldPath(pattern.value);
  return { kind: pattern.kind, value: pattern.kind === "prefix" && value === "/" ? "" : value };
}
