import * as z from "zod";
import { fieldMetas } from "./field.js";
import { meshSchema } from "./schema.js";

/**
 * The JSON Schema (2020-12) of `selvage.yaml`, for editors: completion, documentation and defaults. It does not hold what
 * only a program can check; `loadConfig` does. docs/selvage.schema.json is what this gives.
 */
export function configJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(meshSchema(), {
    io: "input",
    reused: "inline",
    override({ zodSchema, jsonSchema }) {
      // `source: dev` may be left out.
      const source = jsonSchema.properties?.["source"];
      if (typeof source === "object" && source.const === "dev") delete jsonSchema.required;
      const meta = fieldMetas.get(zodSchema as unknown as z.ZodType);
      if (meta === undefined) return;
      const unit = meta.unit === undefined ? "" : ` (${meta.unit})`;
      const fallback = meta.defaultText === undefined ? "" : ` Default: ${meta.defaultText}.`;
      jsonSchema.description = `${meta.doc}${unit}.${fallback}`;
      if (meta.default !== undefined) jsonSchema.default = meta.default as NonNullable<typeof jsonSchema.default>;
    },
  });
  return { ...schema, title: "selvage.yaml" };
}
