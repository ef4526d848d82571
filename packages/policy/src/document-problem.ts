import type { z } from "zod";
import { nearestName } from "./nearest-name.js";

/** One thing that is wrong in a document, in words for whoever wrote it. */
export interface DocumentProblem {
  readonly keys: DocumentPath;
  /** `keys` as text: `rules[0].from`. Empty: the document itself. */
  readonly path: string;
  /** What is there. `undefined`: nothing is. */
  readonly value: unknown;
  /** What is wrong, as a sentence that starts with the path: `must be a list`. */
  readonly problem: string;
  /** What to write instead. May be empty. */
  readonly remedy: string;
}

export type DocumentPath = readonly PropertyKey[];

/** `["rules", 0, "from"]` as `rules[0].from`; keys that aren't plain names are quoted. */
export function pathText(path: DocumentPath): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else if (isPlainName(String(key))) text += text === "" ? String(key) : `.${String(key)}`;
    else text += `[${JSON.stringify(String(key))}]`;
  }
  return text;
}

function isPlainName(key: string): boolean {
  if (key === "") return false;
  for (let i = 0; i < key.length; i++) {
    const c = key.charCodeAt(i) | 0x20;
    const letter = (c >= 0x61 && c <= 0x7a) || key[i] === "_";
    if (!letter && (i === 0 || key[i]! < "0" || key[i]! > "9")) return false;
  }
  return true;
}

/** A problem as one line: path, problem, value, remedy. */
export function problemText(problem: DocumentProblem): string {
  const path = problem.path === "" ? "the document" : problem.path;
  const got = problem.value === undefined ? "" : `, got ${valueText(problem.value)}`;
  const remedy = problem.remedy === "" ? "" : `; ${problem.remedy}`;
  return `${path} ${problem.problem}${got}${remedy}`;
}

/** A value for people: JSON, at most 80 characters, and never key material. */
export function valueText(value: unknown): string {
  let text: string;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = typeof value;
  }
  if (text.includes("-----BEGIN")) return "[key material]";
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** What reading a document against a schema gave: the value, or everything that is wrong at once. */
export type Checked<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problems: readonly DocumentProblem[] };

/** Reads a document against a zod schema; unknown fields get the nearest known name. */
export function checkDocument<T>(schema: z.ZodType<T>, document: unknown): Checked<T> {
  const result = schema.safeParse(document);
  if (result.success) return { ok: true, value: result.data };
  const problems: DocumentProblem[] = [];
  for (const issue of result.error.issues) collect(issue, [], schema, document, problems);
  return { ok: false, problems };
}

function collect(
  issue: z.core.$ZodIssue,
  base: DocumentPath,
  schema: z.ZodType,
  document: unknown,
  into: DocumentProblem[],
): void {
  const path = [...base, ...issue.path];
  const value = valueAt(document, path);
  const say = (problem: string, remedy = "") => into.push({ keys: path, path: pathText(path), value, problem, remedy });
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = knownFields(schema, path);
      for (const key of issue.keys) {
        const keys = [...path, key];
        const remedy = fieldRemedy(key, known);
        into.push({ keys, path: pathText(keys), value: undefined, problem: "is not a known field here", remedy });
      }
      return;
    }
    case "invalid_type":
      say(`${value === undefined ? "is missing, and " : ""}must be ${typeName(issue.expected)}`);
      return;
    case "invalid_value": {
      const nearest = typeof value === "string" ? nearestName(value, issue.values.map(String)) : null;
      const remedy = nearest === null ? "" : `did you mean "${nearest}"?`;
      say(`must be ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}`, remedy);
      return;
    }
    case "too_small":
    case "too_big":
      say(rangeText(issue));
      return;
    case "invalid_union":
      unionProblem(issue, path, schema, document, into, say);
      return;
    case "invalid_key":
      // What is wrong is the key itself, not what stands under it.
      for (const inner of issue.issues) {
        const remedy = inner.code === "custom" ? inner.params?.["remedy"] : "";
        const about = { keys: path, path: pathText(path), value: path.at(-1), problem: inner.message };
        into.push({ ...about, remedy: typeof remedy === "string" ? remedy : "" });
      }
      return;
    case "custom": {
      const remedy = issue.params?.["remedy"];
      say(issue.message, typeof remedy === "string" ? remedy : "");
      return;
    }
    default:
      say(`is not valid (${issue.message})`);
  }
}

/** Of the alternatives, the one whose type fits is what was meant; when none fits, all are named. */
function unionProblem(
  issue: z.core.$ZodIssueInvalidUnion,
  path: DocumentPath,
  schema: z.ZodType,
  document: unknown,
  into: DocumentProblem[],
  say: (problem: string, remedy?: string) => void,
): void {
  const wrongType = (first: z.core.$ZodIssue | undefined) =>
    first?.path.length === 0 && (first.code === "invalid_type" || first.code === "invalid_value");
  const meant = issue.errors.filter((alternative) => !wrongType(alternative[0]));
  if (meant.length === 1) {
    for (const inner of meant[0]!) collect(inner, path, schema, document, into);
    return;
  }
  if (issue.discriminator !== undefined) {
    const known = schemasAt(schema, path).flatMap((each) => {
      const def = (each as z.core.$ZodTypes)._zod.def;
      return def.type === "literal" ? def.values.map(String) : [];
    });
    const nearest = nearestName(String(valueAt(document, path)), known);
    say(`must be one of ${known.join(", ")}`, nearest === null ? "" : `did you mean "${nearest}"?`);
    return;
  }
  const names = new Set<string>();
  for (const alternative of issue.errors) {
    const [first] = alternative;
    if (!wrongType(first)) continue;
    if (first?.code === "invalid_type") names.add(typeName(first.expected));
    if (first?.code === "invalid_value") names.add(first.values.map(String).join(", "));
  }
  if (issue.message !== "Invalid input") say(issue.message);
  else say(names.size === 0 ? "is none of what is allowed here" : `must be ${[...names].join(" or ")}`);
}

function typeName(expected: string): string {
  switch (expected) {
    case "string":
      return "text";
    case "number":
      return "a number";
    case "int":
      return "a whole number";
    case "boolean":
      return "true or false";
    case "array":
      return "a list";
    case "object":
    case "record":
      return "an object";
    default:
      return expected;
  }
}

function rangeText(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig): string {
  const unit = issue.origin === "string" ? " characters long" : issue.origin === "array" ? " entries long" : "";
  const limit = issue.code === "too_small" ? issue.minimum : issue.maximum;
  if (issue.code === "too_small" && limit === 1 && unit !== "") return "must not be empty";
  const word = issue.code === "too_small" ? "at least" : "at most";
  return `must be ${issue.inclusive === false ? (word === "at least" ? "above" : "below") : word} ${limit}${unit}`;
}

function valueAt(document: unknown, path: DocumentPath): unknown {
  let value = document;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** The schemas that may apply at a path: more than one behind a union. */
export function schemasAt(schema: z.core.$ZodType, path: DocumentPath): readonly z.core.$ZodType[] {
  let here = alternatives(schema);
  for (const key of path) {
    const next: z.core.$ZodType[] = [];
    for (const each of here) {
      const def = (each as z.core.$ZodTypes)._zod.def;
      if (def.type === "object" && Object.hasOwn(def.shape, key)) next.push(...alternatives(def.shape[key as string]!));
      else if (def.type === "array") next.push(...alternatives(def.element));
      else if (def.type === "record") next.push(...alternatives(def.valueType));
    }
    here = next;
  }
  return here;
}

/** A schema without its wrappers (optional, default, transforms), and each alternative of a union. */
function alternatives(schema: z.core.$ZodType): readonly z.core.$ZodType[] {
  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "optional":
    case "nullable":
    case "default":
    case "prefault":
    case "readonly":
      return alternatives(def.innerType);
    case "pipe":
      return alternatives(def.in);
    case "union":
      return def.options.flatMap(alternatives);
    default:
      return [schema];
  }
}

/** Names of the fields at a path, each with the condition (`source: ca`) under which it is known, if any. */
function knownFields(schema: z.core.$ZodType, path: DocumentPath): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  for (const each of schemasAt(schema, path)) {
    const def = (each as z.core.$ZodTypes)._zod.def;
    if (def.type !== "object") continue;
    const condition = Object.entries(def.shape).map(([key, value]) => {
      const literal = (value as z.core.$ZodTypes)._zod.def;
      return literal.type === "literal" ? `${key}: ${literal.values.map(String).join(", ")}` : "";
    });
    const when = condition.find((text) => text !== "") ?? "";
    for (const key of Object.keys(def.shape)) {
      const before = fields.get(key);
      fields.set(key, before === undefined || before === when ? when : `${before} or ${when}`);
    }
  }
  return fields;
}

function fieldRemedy(key: string, known: ReadonlyMap<string, string>): string {
  const condition = known.get(key);
  if (condition !== undefined) return `it belongs to ${condition}`;
  const nearest = nearestName(key, known.keys());
  return nearest === null ? `known fields: ${[...known.keys()].join(", ")}` : `did you mean "${nearest}"?`;
}
