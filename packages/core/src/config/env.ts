import { type DocumentProblem, nearestName, schemasAt } from "@selvage/policy";
import type { z } from "zod";
import { configFields, type FieldEntry } from "./fields.js";

/** Names that start like ours and are read before or beside the configuration. */
const others = ["SELVAGE_CONFIG"];

/** What the environment says. */
export interface EnvReading {
  readonly tree: Record<string, unknown>;
  /** Path of a field to the variable that set it. */
  readonly variables: ReadonlyMap<string, string>;
  /** About variables: `path` is the variable's name. */
  readonly problems: readonly DocumentProblem[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** `SELVAGE_*` names and the paths that they set: every single value or list of text outside of lists and maps. */
export function envTable(): ReadonlyMap<string, string> {
  const table = new Map<string, string>();
  for (const { variable, path } of configFields()) if (variable !== null) table.set(variable, path);
  return table;
}

/**
 * Reads the `SELVAGE_*` variables. An empty one counts as unset; lists are separated by commas; durations need their unit.
 * Unknown names are problems, other than those that Kubernetes makes for services called `selvage…`.
 */
export function readEnv(env: Environment): EnvReading {
  const tree: Record<string, unknown> = {};
  const variables = new Map<string, string>();
  const problems: DocumentProblem[] = [];
  const given = Object.keys(env).filter((name) => name.startsWith("SELVAGE_") && !others.includes(name));
  if (given.length === 0) return { tree, variables, problems };
  const fields = new Map<string, FieldEntry>();
  for (const entry of configFields()) if (entry.variable !== null) fields.set(entry.variable, entry);
  // Sorted, so that a group (SELVAGE_ADMIN=false) comes before its fields, and errors always in one order.
  for (const name of given.sort()) {
    const text = env[name];
    if (text === undefined || text === "") continue;
    const entry = fields.get(name);
    if (isServiceLink(name, text, env, entry !== undefined)) continue;
    if (entry !== undefined) {
      put(tree, entry.keys, readValue(text, entry));
      variables.set(entry.path, name);
    } else {
      const nearest = nearestName(name, [...fields.keys(), ...others]);
      const remedy = nearest === null ? "docs/configuration.md lists them" : `did you mean ${nearest}?`;
      problems.push({ keys: [], path: name, value: undefined, problem: "is not a known variable", remedy });
    }
  }
  return { tree, variables, problems };
}

/**
 * Kubernetes sets `SELVAGE_CA_SERVICE_HOST`, `SELVAGE_CA_PORT_8080_TCP` and the like in every pod of a namespace that has a
 * service `selvage-ca`. They aren't meant for us, even where a name is also one of ours (`SELVAGE_INBOUND_PORT`).
 */
function isServiceLink(name: string, text: string, env: Environment, known: boolean): boolean {
  if (name.endsWith("_PORT") && ["tcp://", "udp://", "sctp://"].some((scheme) => text.startsWith(scheme))) return true;
  if (known) return false;
  for (const part of ["_SERVICE_", "_PORT_"]) {
    const at = name.indexOf(part);
    if (at !== -1 && env[`${name.slice(0, at)}_SERVICE_HOST`] !== undefined) return true;
  }
  return false;
}

function readValue(text: string, entry: FieldEntry): unknown {
  const types = schemasAt(entry.schema, []).map((schema) => (schema as z.core.$ZodTypes)._zod.def);
  const wants = (type: string) => types.some((def) => def.type === type);
  if (wants("array")) {
    const parts = text.split(",").map((part) => part.trim());
    const numbers = types.some(
      (def) => def.type === "array" && (def.element as z.core.$ZodTypes)._zod.def.type === "number",
    );
    return numbers ? parts.map(numberOf) : parts;
  }
  if (wants("string") || wants("enum")) return text;
  if (wants("number")) return numberOf(text);
  return text === "true" ? true : text === "false" ? false : text;
}

/** Decimal notation only; anything else stays text, for the schema to refuse. */
function numberOf(text: string): number | string {
  for (const c of text) if ((c < "0" || c > "9") && c !== "." && c !== "-") return text;
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

function put(tree: Record<string, unknown>, keys: readonly string[], value: unknown): void {
  let at = tree;
  for (const key of keys.slice(0, -1)) {
    if (at[key] === false) return;
    if (typeof at[key] !== "object") at[key] = {};
    at = at[key] as Record<string, unknown>;
  }
  const last = keys.at(-1)!;
  at[last] = value;
}
