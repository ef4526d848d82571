import { schemasAt } from "@selvage/policy";
import type { z } from "zod";
import { type FieldMeta, fieldMetas } from "./field.js";
import { remade } from "./remade.js";
import { meshSchema } from "./schema.js";

/** A field of the configuration, as documentation, environment and JSON Schema see it. */
export interface FieldEntry {
  /** `outbound.services.<name>.endpoints[].weight` */
  readonly path: string;
  readonly keys: readonly string[];
  readonly schema: z.core.$ZodType;
  readonly meta: FieldMeta;
  /** It has fields of its own. */
  readonly group: boolean;
  /** The variable that sets it; `null`: it can't be set by one. */
  readonly variable: string | null;
  /** Values of `identity.source` with which it exists; empty: whatever it is. */
  readonly sources: readonly string[];
}

/** Every field of the configuration, in the order of the schema. */
export const configFields = remade((): readonly FieldEntry[] => {
  const found = new Map<string, FieldEntry>();
  visit(meshSchema(), [], [], found);
  return Object.freeze([...found.values()]);
});

function visit(
  schema: z.core.$ZodType,
  keys: readonly string[],
  sources: readonly string[],
  found: Map<string, FieldEntry>,
): void {
  const options = schemasAt(schema, []);
  const meta = fieldMetas.get(schema as z.ZodType);
  if (meta !== undefined) {
    const path = fieldPath(keys);
    const before = found.get(path);
    const group = options.some((option) => typeOf(option) === "object");
    if (before !== undefined)
      found.set(path, { ...before, meta: joined(before.meta, meta), sources: [...before.sources, ...sources] });
    else found.set(path, { path, keys, schema, meta, group, variable: variableName(keys, options), sources });
  }
  for (const option of options) {
    const def = (option as z.core.$ZodTypes)._zod.def;
    if (def.type === "record") visit(def.valueType, [...keys, "<name>"], sources, found);
    else if (def.type === "array") visit(def.element, [...keys, "[]"], sources, found);
    else if (def.type === "object") {
      const source = literalOf(def.shape["source"]);
      const own = source === null ? sources : [source];
      for (const [key, child] of Object.entries(def.shape)) visit(child, [...keys, key], own, found);
    }
  }
}

/** Alternatives may describe a field each in its own way. */
function joined(one: FieldMeta, other: FieldMeta): FieldMeta {
  return one.doc === other.doc ? one : { ...one, doc: `${one.doc}; ${other.doc}` };
}

function fieldPath(keys: readonly string[]): string {
  let path = "";
  for (const key of keys) path += key === "[]" || path === "" ? key : `.${key}`;
  return path;
}

function typeOf(schema: z.core.$ZodType): string {
  return (schema as z.core.$ZodTypes)._zod.def.type;
}

function literalOf(schema: z.core.$ZodType | undefined): string | null {
  const def = schema === undefined ? undefined : (schema as z.core.$ZodTypes)._zod.def;
  return def?.type === "literal" ? String(def.values[0]) : null;
}

/** `workload.trustDomain` is `SELVAGE_WORKLOAD_TRUST_DOMAIN`. Only single values and lists of text have a variable. */
function variableName(keys: readonly string[], options: readonly z.core.$ZodType[]): string | null {
  if (keys.some((key) => key === "[]" || key === "<name>")) return null;
  const simple = options.some((option) => {
    const def = (option as z.core.$ZodTypes)._zod.def;
    if (def.type === "array") return schemasAt(def.element, []).every((element) => typeOf(element) !== "object");
    return def.type !== "object" && def.type !== "record";
  });
  if (!simple) return null;
  let name = "SELVAGE";
  for (const key of keys) {
    name += "_";
    for (const c of key) name += c >= "A" && c <= "Z" ? `_${c}` : c.toUpperCase();
  }
  return name;
}

/** The defaults under a schema, as they would be written. Those of optional groups and of alternatives are left out. */
export function defaultsOf(schema: z.core.$ZodType): Record<string, unknown> {
  const objects = schemasAt(schema, []).filter((option) => typeOf(option) === "object");
  const def = (objects[0] as z.core.$ZodTypes | undefined)?._zod.def;
  const defaults: Record<string, unknown> = {};
  if (objects.length !== 1 || def?.type !== "object") return defaults;
  for (const [key, child] of Object.entries(def.shape)) {
    const meta = fieldMetas.get(child as z.ZodType);
    if (meta?.default !== undefined) defaults[key] = meta.default;
    else if (meta?.optional !== true) {
      const inner = defaultsOf(child);
      if (Object.keys(inner).length > 0) defaults[key] = inner;
    }
  }
  return defaults;
}
