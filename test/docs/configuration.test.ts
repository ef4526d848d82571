import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { schemasAt } from "@selvage/policy";
import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { configFields, type FieldEntry } from "../../packages/core/src/config/fields.js";
import { configJsonSchema } from "../../packages/core/src/config/json-schema.js";
import { loadConfig } from "../../packages/core/src/config/load.js";
import { loadPolicy } from "../../packages/core/src/config/load-policy.js";
import type { MeshOptions } from "../../packages/core/src/config/options.js";

// To write both files anew after a change of the schema: npx vitest run --project docs test/docs/configuration.test.ts -u
const docs = fileURLToPath(new URL("../../docs/", import.meta.url));
const page = readFileSync(`${docs}configuration.md`, "utf8");

/** Settings of one service are those of all, a route's retry is the service's, one match is as several: documented once. */
function isRepeated({ path }: FieldEntry): boolean {
  if (path.includes(".routes[].retry.") || path.includes(".routes[].match[].")) return true;
  const setting = path.replace("outbound.services.<name>.", "outbound.defaults.");
  return setting !== path && configFields().some((field) => field.path === setting);
}

function typeText({ schema, meta, group, sources }: FieldEntry): string {
  if (meta.type !== undefined) return meta.type;
  if (group) return "object";
  const defs = schemasAt(schema, []).map((each) => (each as z.core.$ZodTypes)._zod.def);
  const types = defs.map((def) => def.type);
  if (types.includes("string") && types.includes("number")) return "duration";
  return defs
    .map((def) => {
      if (def.type === "enum") return Object.values(def.entries).map(code).join(", ");
      if (def.type === "literal") return sources.map(code).join(", ");
      return def.type === "string" ? "text" : def.type === "boolean" ? "true, false" : def.type;
    })
    .filter((text, i, all) => all.indexOf(text) === i)
    .join(", ");
}

function defaultText({ schema, meta, path }: FieldEntry): string {
  if (path === "identity.source") return "`dev`";
  if (meta.defaultText !== undefined) return meta.defaultText;
  if (meta.default !== undefined)
    return code(typeof meta.default === "string" ? meta.default : JSON.stringify(meta.default));
  return (schema as z.core.$ZodTypes)._zod.def.type === "optional" ? "" : "required";
}

const code = (value: unknown) => `\`${String(value)}\``;

/** A table of the fields whose paths start so; those of a longer heading of the page are left to it. */
function table(prefix: string, headings: readonly string[]): string {
  const rows = configFields().filter((field) => {
    const mine = (heading: string) =>
      field.path === heading || field.path.startsWith(`${heading}.`) || field.path.startsWith(`${heading}[]`);
    const closest = headings.filter(mine).sort((a, b) => b.length - a.length)[0];
    return closest === prefix && !isRepeated(field);
  });
  const lines = rows.map((field) => {
    const { path, meta, variable, sources } = field;
    const only =
      path.startsWith("identity.") && path !== "identity.source" && sources.length < 4
        ? ` (${sources.join(", ")})`
        : "";
    const unit = meta.unit ?? (typeText(field) === "duration" ? "ms" : "");
    const variables = variable === null ? "" : code(variable);
    return `| ${[code(path), typeText(field), defaultText(field), unit, `${meta.doc}${only}`, variables].join(" | ")} |`;
  });
  return ["| Field | Type | Default | Unit | Meaning | Variable |", "|---|---|---|---|---|---|", ...lines].join("\n");
}

const marker = /<!-- fields: (\S+) -->\n[\s\S]*?<!-- end -->/g;

describe("docs/configuration.md", () => {
  const headings = [...page.matchAll(marker)].map((match) => match[1]!);

  test("its tables are what the schema says: fields, types, defaults, units, meanings, variables", async () => {
    const fresh = page.replace(
      marker,
      (_, prefix: string) => `<!-- fields: ${prefix} -->\n${table(prefix, headings)}\n<!-- end -->`,
    );
    await expect(fresh).toMatchFileSnapshot(`${docs}configuration.md`);
  });

  test("every field is in one of its tables", () => {
    const missing = configFields().filter((field) => !isRepeated(field) && !page.includes(`| ${code(field.path)} |`));
    expect(missing.map((field) => field.path)).toEqual([]);
  });

  test("every field has a meaning", () => {
    expect(configFields().filter(({ meta }) => meta.doc === "")).toEqual([]);
  });

  test("its examples are accepted, with the example of docs/policy.md, and without warnings", () => {
    const cwd = mkdtempSync(join(tmpdir(), "selvage-docs-"));
    try {
      writeFileSync(join(cwd, "selvage.yaml"), example(page, "yaml"));
      writeFileSync(join(cwd, "policy.yaml"), example(readFileSync(`${docs}policy.md`, "utf8"), "yaml"));
      const config = loadConfig({ env: {}, cwd });
      expect(config.outbound.services["inventory.shop"]?.routes[0]?.timeoutMs).toBe(800);
      expect(config.warnings).toEqual([]);
      expect(loadPolicy(config, cwd).warnings).toEqual([]);
      const options = new Function(`${example(page, "ts")} return options;`)() as MeshOptions;
      const other = loadConfig({ options, env: {}, cwd: tmpdir() });
      expect(other.outbound.services).toEqual(config.outbound.services);
    } finally {
      rmSync(cwd, { recursive: true });
    }
  });
});

function example(text: string, language: string): string {
  const start = text.indexOf(`\`\`\`${language}\n`);
  expect(start).toBeGreaterThan(-1);
  return text.slice(text.indexOf("\n", start) + 1, text.indexOf("\n```\n", start));
}

describe("docs/selvage.schema.json", () => {
  test("is what the schema says", async () => {
    await expect(`${JSON.stringify(configJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(`${docs}selvage.schema.json`);
  });
});
