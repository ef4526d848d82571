import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { endpointClientDefaults, http1Defaults, http2Defaults, httpServerDefaults } from "@selvage/http2";
import { caSourceDefaults, devSourceDefaults, filesSourceDefaults, spiffeSourceDefaults } from "@selvage/tls-identity";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { configFields } from "../../packages/core/src/config/fields.js";
import { root } from "./workspace.js";

// To write the tables anew after a change of the code: npx vitest run --project docs test/docs/options.test.ts -u

/** `<!-- options: FILE INTERFACE -->`, in the package's src; `<!-- members: FILE CLASS -->`; `<!-- sections -->` of the configuration. */
const marker = /<!-- (options|members|sections):? ?(\S*) ?(\w*) -->\n[\s\S]*?<!-- end -->/g;

const packages = readdirSync(join(root, "packages"));

describe.each(packages)("packages/%s/README.md", (name) => {
  const path = join(root, "packages", name, "README.md");

  test("its tables are what the code says", async () => {
    const page = readFileSync(path, "utf8");
    const fresh = page.replace(marker, (_, kind: string, file: string, type: string) => {
      const table = kind === "sections" ? sections() : rowsOf(kind, join(root, "packages", name, "src", file), type);
      return `<!-- ${kind}${file === "" ? "" : `: ${file} ${type}`} -->\n${table}\n<!-- end -->`;
    });
    await expect(fresh).toMatchFileSnapshot(path);
  });
});

test.each([
  ["http2", "HttpServerOptions", httpServerDefaults],
  ["http2", "EndpointClientOptions", endpointClientDefaults],
  ["http2", "Http1Limits", http1Defaults],
  ["http2", "Http2Options", http2Defaults],
  ["tls-identity", "DevSourceOptions", devSourceDefaults],
  ["tls-identity", "FilesSourceOptions", filesSourceDefaults],
  ["tls-identity", "SpiffeSourceOptions", spiffeSourceDefaults],
  ["tls-identity", "CaSourceOptions", caSourceDefaults],
])("packages/%s/README.md has the defaults of %s that are in force", (name, type, defaults) => {
  const page = readFileSync(join(root, "packages", name, "README.md"), "utf8");
  const table = page.slice(page.indexOf(` ${type} -->`)).split("<!-- end -->")[0]!;
  const rows = Object.entries(defaults).filter(([, value]) => typeof value === "number" || typeof value === "boolean");
  expect(rows).not.toEqual([]);
  for (const [option, value] of rows) {
    const said = table
      .split("\n")
      .find((line) => line.startsWith(`| \`${option}\` |`))
      ?.replace(/\\\|/g, "")
      .split(" | ")[2];
    expect({ [option]: inWords(said ?? "") }).toEqual({ [option]: value });
  }
});

/** A default as comments write it: `10000 (as linkerd)`, `24 h`, `true`. */
function inWords(text: string): unknown {
  const [, number, unit] = /^([\d_]+)(?: (h|min|s))?\b/.exec(text) ?? [];
  if (number === undefined)
    return text === "Infinity" ? Number.POSITIVE_INFINITY : text === "true" ? true : text === "false" ? false : text;
  const units: Record<string, number> = { h: 3_600_000, min: 60_000, s: 1_000 };
  return Number(number.replaceAll("_", "")) * (unit === undefined ? 1 : units[unit]!);
}

function sections(): string {
  const rows = configFields()
    .filter(({ path }) => !path.includes("."))
    .map(({ path, meta }) => `| \`${path}\` | ${meta.doc} |`);
  return ["| Section | |", "|---|---|", ...rows].join("\n");
}

function rowsOf(kind: string, file: string, type: string): string {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.ES2023, true);
  const declaration = source.statements.find(
    (one): one is ts.InterfaceDeclaration | ts.ClassDeclaration =>
      (ts.isInterfaceDeclaration(one) || ts.isClassDeclaration(one)) && one.name?.text === type,
  );
  if (declaration === undefined) throw new Error(`${file} has no ${type}`);
  const members = [...declaration.members].filter((member) => isPublic(member));
  const head = kind === "options" ? ["| Option | Type | Default | |", "|---|---|---|---|"] : ["| | |", "|---|---|"];
  return [...head, ...members.map((member) => row(kind, member, source))].join("\n");
}

function isPublic(member: ts.ClassElement | ts.TypeElement): boolean {
  if (member.name === undefined || !ts.isIdentifier(member.name)) return false;
  const hidden = [ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.StaticKeyword];
  return !(ts.canHaveModifiers(member) && ts.getModifiers(member)?.some(({ kind }) => hidden.includes(kind)));
}

function row(kind: string, member: ts.ClassElement | ts.TypeElement, source: ts.SourceFile): string {
  const name = member.name!.getText(source);
  const doc = ts.getJSDocCommentsAndTags(member).find(ts.isJSDoc);
  const said = oneLine(ts.getTextOfJSDocComment(doc?.comment) ?? "");
  if (kind === "members") {
    const parameters = "parameters" in member ? (member.parameters as ts.NodeArray<ts.ParameterDeclaration>) : null;
    const shown =
      parameters === null ? name : `${name}(${parameters.map((one) => one.name.getText(source)).join(", ")})`;
    return `| \`${shown}\` | ${said} |`;
  }
  const tag = doc?.tags?.find(({ tagName }) => tagName.text === "defaultValue");
  const fallback = oneLine(ts.getTextOfJSDocComment(tag?.comment) ?? "");
  const optional = "questionToken" in member && member.questionToken !== undefined;
  const type = ts.isPropertySignature(member) ? (member.type?.getText(source) ?? "") : "function";
  const shown = oneLine(type.replace(/ \| undefined$/, "").replace(/^\((.*)\)$/, "$1"));
  return `| \`${name}\` | \`${shown}\` | ${fallback === "" ? (optional ? "" : "required") : fallback} | ${said} |`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").replace(/\|/g, "\\|").trim();
}
