import { IdentityError } from "../identity-error.js";
import { SpiffeId } from "../spiffe-id.js";
import type { Caller } from "./caller.js";

/** One entry of a rule file: which callers may have which id. */
export interface CertifyRule {
  /** By what means the caller proved itself. */
  readonly kind: "jwt" | "kubernetes";
  /** What attributes of the caller must be; `*` for any value. All must be there. */
  readonly match: Readonly<Record<string, string>>;
  /** The id, with `{attribute}` where a value of the caller goes. */
  readonly id: string;
}

/** A rule file: what is not allowed is refused. */
export interface CertifyRules {
  readonly rules: readonly CertifyRule[];
  /** Ids that nobody gets any more, renewals included. */
  readonly revoked: ReadonlySet<string>;
}

const placeholder = /\{([^{}]*)\}/g;
const segmentPattern = /^[A-Za-z0-9._-]+$/;
const labelPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Reads a rule file, JSON: `{"rules": [{"kind": "kubernetes", "match": {"namespace": "*", "account": "*"}, "id":
 * "spiffe://prod.example/ns/{namespace}/sa/{account}"}], "revoked": []}`. Throws `rule-malformed` with the path of what is wrong; unknown
 * fields are wrong, since they may be a limit that somebody meant.
 */
export function parseRules(text: string): CertifyRules {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new IdentityError("rule-malformed", "the rule file is not JSON", { cause });
  }
  const document = object(value, "the rule file", ["rules", "revoked"]);
  const { rules = [], revoked = [] } = document;
  if (!Array.isArray(rules) || !Array.isArray(revoked)) throw malformed("rules and revoked must be lists");
  return {
    rules: rules.map((rule, index) => parseRule(rule, `rules[${index}]`)),
    revoked: new Set(revoked.map((id, index) => parseId(id, `revoked[${index}]`))),
  };
}

/** Throws `rule-refused` unless the caller may have the id. */
export function requireEntitled(rules: CertifyRules, caller: Caller, id: SpiffeId): void {
  const entitled =
    caller.entitledTo === undefined ? rules.rules.some((rule) => allows(rule, caller, id)) : caller.entitledTo === id;
  if (!entitled || rules.revoked.has(id.toString())) {
    throw new IdentityError("rule-refused", `${caller.kind} ${caller.subject} may not have ${id}`);
  }
}

function allows(rule: CertifyRule, caller: Caller, id: SpiffeId): boolean {
  if (rule.kind !== caller.kind) return false;
  for (const [name, wanted] of Object.entries(rule.match)) {
    const value = attributeOf(caller, name);
    if (value === undefined || (wanted !== "*" && value !== wanted)) return false;
  }
  let usable = true;
  const named = rule.id.replace(placeholder, (_all, name: string) => {
    const value = attributeOf(caller, name);
    // A value must not reach beyond its segment or label.
    const pattern = id.kind === "dns" ? labelPattern : segmentPattern;
    if (value === undefined || value === "." || value === ".." || !pattern.test(value)) usable = false;
    return value ?? "";
  });
  return usable && named === id.toString();
}

function attributeOf(caller: Caller, name: string): string | undefined {
  return Object.hasOwn(caller.attributes, name) ? caller.attributes[name] : undefined;
}

function parseRule(value: unknown, path: string): CertifyRule {
  const rule = object(value, path, ["kind", "match", "id"]);
  const { kind, id } = rule;
  if (kind !== "jwt" && kind !== "kubernetes")
    throw malformed(`${path}.kind must be jwt or kubernetes, got ${JSON.stringify(kind)}`);
  const match = object(rule["match"], `${path}.match`, null);
  for (const [name, wanted] of Object.entries(match)) {
    if (typeof wanted !== "string") throw malformed(`${path}.match.${name} must be a string`);
  }
  // A rule for everybody who has a token at all is more likely forgotten than meant.
  if (Object.keys(match).length === 0) throw malformed(`${path}.match must compare at least one attribute`);
  if (typeof id !== "string") throw malformed(`${path}.id must be a string`);
  for (const [, name] of id.matchAll(placeholder)) {
    if (!Object.hasOwn(match, name!))
      throw malformed(`${path}.id uses {${name}}, which ${path}.match does not mention`);
  }
  parseId(id.replace(placeholder, "x"), `${path}.id`);
  return { kind, match: match as Record<string, string>, id };
}

function parseId(value: unknown, path: string): string {
  if (typeof value !== "string") throw malformed(`${path} must be a string`);
  try {
    return SpiffeId.parse(value).toString();
  } catch (cause) {
    throw new IdentityError("rule-malformed", `${path}: ${(cause as Error).message}`, { cause });
  }
}

function object(value: unknown, path: string, known: readonly string[] | null): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw malformed(`${path} must be an object`);
  for (const name of Object.keys(value)) {
    if (known !== null && !known.includes(name))
      throw malformed(`${path}.${name} is unknown; known are ${known.join(", ")}`);
  }
  return value as Record<string, unknown>;
}

function malformed(what: string): IdentityError {
  return new IdentityError("rule-malformed", what);
}
