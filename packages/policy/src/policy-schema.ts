import * as z from "zod";
import { parseIdentityPattern, refuseSpiffeId } from "./identity-pattern.js";
import { parsePathPattern, type Refusal } from "./path-pattern.js";
import type { PolicyDefault, PolicyDocument, RateLimitDocument, RuleDocument } from "./policy-document.js";

/** The names of the defaults, which rules may not take: both are metric labels. */
export const policyDefaults = [
  "deny",
  "all-authenticated",
  "all-unauthenticated",
  "audit",
] as const satisfies PolicyDefault[];

const standardMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];

function text(refuse: (text: string) => object | null): z.ZodType<string, string> {
  return z.string().superRefine((value, context) => {
    const refusal = refuse(value);
    if (refusal === null || !("problem" in refusal)) return;
    const { problem, remedy } = refusal as Refusal;
    context.addIssue({ code: "custom", message: problem, params: { remedy } });
  });
}

/** `null` for a name that can be a metric label and be read in a log, or what is wrong with it. */
function refuseRuleName(name: string): Refusal | null {
  if (name === "" || name.length > 63) return { problem: "must be 1 to 63 characters long", remedy: "" };
  for (const c of name) {
    const word = (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c >= "0" && c <= "9");
    if (!word && c !== "-" && c !== "_" && c !== ".") {
      return { problem: 'must consist of letters, digits, ".", "-" and "_"', remedy: "" };
    }
  }
  if (!(policyDefaults as readonly string[]).includes(name)) return null;
  return { problem: "must not be the name of a default", remedy: "verdicts of the default bear it" };
}

/** `null` for a method (RFC 9110, section 9.1: a case-sensitive token), or what is wrong with it. */
export function refuseMethod(method: string): Refusal | null {
  const upper = method.toUpperCase();
  if (upper !== method && standardMethods.includes(upper))
    return { problem: "is not a method", remedy: `write "${upper}"` };
  if (method === "*") return { problem: "is not a method", remedy: "leave the field out for all methods" };
  if (method === "") return { problem: "must not be empty", remedy: "" };
  for (let i = 0; i < method.length; i++) {
    const c = method.charCodeAt(i);
    if (c <= 0x20 || c >= 0x7f || '"(),/:;<=>?@[\\]{}'.includes(method[i]!)) {
      return { problem: "is not a method", remedy: 'write a name such as "GET"' };
    }
  }
  return null;
}

const requestsPerSecond = z.int().min(1).max(4_294_967_295).describe("requests per second, which is also the burst");

/** zod schema of a rule, for embedding in other documents. */
export const ruleSchema: z.ZodType<RuleDocument, RuleDocument> = z.strictObject({
  name: text(refuseRuleName).describe("unique in the document; a metric label"),
  from: z
    .array(text(parseIdentityPattern))
    .min(1)
    .describe('who: SPIFFE ids, "spiffe://td/path/*", "*" (any authenticated peer), "unauthenticated"'),
  methods: z.array(text(refuseMethod)).min(1).optional().describe("which methods; absent: any"),
  paths: z.array(text(parsePathPattern)).min(1).optional().describe('which paths: "/a/b", "/a/*"; absent: any'),
  action: z.enum(["allow", "deny", "audit"]).describe("allow, deny, or allow and report"),
});

/** zod schema of local rate limits, for embedding in other documents. */
export const rateLimitSchema: z.ZodType<RateLimitDocument, RateLimitDocument> = z
  .strictObject({
    total: z.strictObject({ requestsPerSecond }).optional().describe("of all peers together"),
    identity: z
      .strictObject({ requestsPerSecond })
      .optional()
      .describe("of each identity; unauthenticated peers share one"),
    overrides: z
      .array(
        z.strictObject({
          from: z.array(text(refuseSpiffeId)).min(1).describe("SPIFFE ids, exact"),
          requestsPerSecond,
        }),
      )
      .optional()
      .describe("quotas that replace identity for the peers named"),
  })
  .superRefine((limits, context) => {
    const total = limits.total?.requestsPerSecond ?? Number.POSITIVE_INFINITY;
    const refuse = (path: PropertyKey[], message: string, remedy: string) =>
      context.addIssue({ code: "custom", path, message, params: { remedy } });
    const aboveTotal = "must not be above total.requestsPerSecond";
    if ((limits.identity?.requestsPerSecond ?? 0) > total) {
      refuse(["identity", "requestsPerSecond"], aboveTotal, `write ${total} or less`);
    }
    const named = new Set<string>();
    for (const [i, override] of (limits.overrides ?? []).entries()) {
      if (override.requestsPerSecond > total) {
        refuse(["overrides", i, "requestsPerSecond"], aboveTotal, `write ${total} or less`);
      }
      for (const [j, id] of override.from.entries()) {
        if (named.has(id)) refuse(["overrides", i, "from", j], "has an override already", "name each identity once");
        named.add(id);
      }
    }
  });

/** zod schema of a list of rules, for embedding in other documents: names are unique. */
export const rulesSchema: z.ZodType<RuleDocument[], RuleDocument[]> = z
  .array(ruleSchema)
  .superRefine((rules, context) => {
    const first = new Map<string, number>();
    for (const [i, rule] of rules.entries()) {
      const earlier = first.get(rule.name);
      if (earlier === undefined) first.set(rule.name, i);
      else {
        const params = { remedy: `rules[${earlier}] has this name already` };
        context.addIssue({ code: "custom", path: [i, "name"], message: "must be unique", params });
      }
    }
  });

/** zod schema of a policy document. Takes and gives the same shape. */
export const policySchema: z.ZodType<PolicyDocument, PolicyDocument> = z.strictObject({
  default: z.enum(policyDefaults).optional().describe("what happens to requests that no rule decides"),
  rules: rulesSchema
    .optional()
    .describe("who may do what; deny rules win, then the first allow rule, then audit rules"),
  rateLimit: rateLimitSchema.optional().describe("local rate limits"),
});
