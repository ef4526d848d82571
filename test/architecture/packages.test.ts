import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");

/** Which of our packages each may import: the sentence of ARCHITECTURE.md. */
const mayImport: Record<string, readonly string[]> = {
  http2: [],
  "tls-identity": [],
  policy: [],
  core: ["http2", "tls-identity", "policy"],
  "proxy-shim": ["core"],
};

interface Source {
  readonly path: string;
  readonly lines: readonly string[];
  /** Run-time imports and re-exports; those of types only are left out. */
  readonly imports: readonly string[];
  readonly typeImports: readonly string[];
}

function walk(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? walk(path) : entry.name.endsWith(".ts") ? [path] : [];
  });
}

function read(path: string): Source {
  const text = readFileSync(path, "utf8");
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const imports: string[] = [];
  const typeImports: string[] = [];
  for (const [, type, from = ""] of code.matchAll(/^(?:import|export)\s+(type\s)?[^;"']*?from\s+["']([^"']+)["']/gm)) {
    (type ? typeImports : imports).push(from);
  }
  for (const [, from = ""] of code.matchAll(/^import\s+["']([^"']+)["']/gm)) imports.push(from);
  return { path, lines: text.split("\n"), imports, typeImports };
}

const sources = new Map<string, Source[]>(
  Object.keys(mayImport).map((name) => [name, walk(join(root, "packages", name, "src")).map(read)]),
);
const shown = (path: string) => relative(root, path);
/** The entries that give fakes to others' tests, and what only they and tests may load. */
const isTestingEntry = (path: string) => /^packages\/[^/]+\/src\/testing\.ts$/.test(shown(path));
const isTestSupport = (path: string) =>
  isTestingEntry(path) || /\/(fixtures|testing)\/|\/(test|testing)-[^/]+\.ts$|-fakes\.ts$/.test(shown(path));
const code = [...sources.values()].flat().filter((source) => !source.path.endsWith(".test.ts"));
const shipped = code.filter((source) => !isTestSupport(source.path));
const resolved = (source: Source, from: string) => resolve(dirname(source.path), from.replace(/\.js$/, ".ts"));

describe("the packages", () => {
  test.each(Object.keys(mayImport))("%s imports only the packages below it", (name) => {
    const wrong = (sources.get(name) ?? []).flatMap((source) =>
      [...source.imports, ...source.typeImports]
        .map((from) => /^@selvage\/([^/]+)/.exec(from)?.[1])
        .filter((other) => other !== undefined && other !== name && !mayImport[name]?.includes(other))
        .map((other) => `${shown(source.path)} imports @selvage/${other}`),
    );
    expect(wrong).toEqual([]);
  });

  test("have no import cycle at run time", () => {
    const graph = new Map(
      code.map((source) => [
        source.path,
        source.imports.filter((from) => from.startsWith(".")).map((from) => resolved(source, from)),
      ]),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (path: string, trail: string[]): void => {
      if (trail.includes(path)) {
        cycles.push([...trail.slice(trail.indexOf(path)), path].map(shown).join(" → "));
        return;
      }
      if (done.has(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      done.add(path);
    };
    for (const path of graph.keys()) visit(path, []);
    expect(cycles).toEqual([]);
  });

  test("ship nothing that is made for tests", () => {
    const wrong = shipped.flatMap((source) =>
      [...source.imports, ...source.typeImports]
        .filter((from) => /^@selvage\/[^/]+\/testing$/.test(from) || isTestSupport(resolved(source, from)))
        .map((from) => `${shown(source.path)} imports ${from}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe("source files", () => {
  test("stay under 400 lines", () => {
    const long = shipped
      .filter((source) => source.lines.length > 401)
      .map((source) => `${shown(source.path)}: ${source.lines.length}`);
    expect(long).toEqual([]);
  });

  test("have names that say something", () => {
    const odd = shipped
      .map((source) => shown(source.path))
      .filter((path) => /\/(utils?|helpers?|common|misc|managers?|impl|base)(\.|\/)/.test(path));
    expect(odd).toEqual([]);
  });

  test("export by name: no default exports, no export *", () => {
    const wrong = shipped
      .filter((source) => source.lines.some((line) => /^export (default|\*)/.test(line)))
      .map((source) => shown(source.path));
    expect(wrong).toEqual([]);
  });

  test("import zod as a namespace, so that a bundle can leave out what isn't used: three quarters of it", () => {
    const wrong = shipped
      .filter((source) => source.lines.some((line) => /^import \{.*\} from "zod"/.test(line)))
      .map((source) => shown(source.path));
    expect(wrong).toEqual([]);
  });

  test("have no top-level await, so that CommonJS can require them", () => {
    const wrong = shipped
      .filter((source) => source.lines.some((line) => /^(const .*= )?await /.test(line)))
      .map((source) => shown(source.path));
    expect(wrong).toEqual([]);
  });
});

describe("the data path", () => {
  /** Where requests pass. Control paths (connecting, listening, closing) live in other files of these packages. */
  const onThePath = [/^packages\/core\/src\/(layers|stack|balancer|resilience)\//, /^packages\/http2\/src\/(h1|h2)\//];

  test("has no promise, async function or async iterator", () => {
    const wrong = shipped
      .filter((source) => onThePath.some((path) => path.test(shown(source.path))))
      .flatMap((source) =>
        source.lines
          .map((line, index) => ({ line: line.replace(/\/\/.*$|^\s*\*.*$|\/\*.*?\*\//g, ""), number: index + 1 }))
          .filter(({ line }) => /\basync\b|\bawait\b|\bPromise\b|\.then\(/.test(line))
          .map(({ number }) => `${shown(source.path)}:${number}`),
      );
    expect(wrong).toEqual([]);
  });
});

describe("the shim", () => {
  test("stays under 100 lines, because it is only core with other ends", () => {
    expect(readFileSync(join(root, "packages/proxy-shim/src/shim.ts"), "utf8").split("\n").length).toBeLessThan(101);
  });

  test("loads neither node:http, node:http2 nor undici", () => {
    const entry = join(root, "packages/proxy-shim/src/shim.ts");
    const seen = new Set<string>();
    const loaded: string[] = [];
    const entries: Record<string, string> = {
      "@selvage/core/spi": "packages/core/src/spi.ts",
      "@selvage/core": "packages/core/src/index.ts",
      "@selvage/http2": "packages/http2/src/index.ts",
      "@selvage/http2/node": "packages/http2/src/node.ts",
      "@selvage/http2/undici": "packages/http2/src/undici.ts",
      "@selvage/policy": "packages/policy/src/index.ts",
      "@selvage/tls-identity": "packages/tls-identity/src/index.ts",
    };
    const visit = (path: string): void => {
      if (seen.has(path)) return;
      seen.add(path);
      for (const from of read(path).imports) {
        if (/^(node:)?https?2?$|^undici/.test(from)) loaded.push(`${shown(path)} loads ${from}`);
        if (from.startsWith(".")) visit(resolved(read(path), from));
        else if (entries[from]) visit(join(root, entries[from]));
      }
    };
    visit(entry);
    expect(loaded).toEqual([]);
  });
});
