import { readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { read, root, Workspace } from "./workspace.js";

interface Manifest {
  readonly name: string;
  readonly exports: Record<string, Record<string, string>>;
  readonly bin?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

interface Packed {
  readonly files: readonly { readonly path: string }[];
}

const directories = ["core", "http2", "policy", "proxy-shim", "tls-identity"];
const manifests = directories.map((name) => JSON.parse(read(`packages/${name}/package.json`)) as Manifest);
const entries = manifests.flatMap(({ name, exports }, i) =>
  Object.entries(exports).map(([path, conditions]) => ({
    entry: `${name}${path.slice(1)}`,
    directory: join(root, "packages", directories[i]!),
    conditions,
  })),
);

/** What zod and undici leave on the global object when they are loaded. */
const foreign = /^(__zod_\w+|Symbol\(undici\..*\))$/;

const load = `
  const entry = process.argv[2];
  const globals = new Set(Reflect.ownKeys(globalThis));
  const events = new Set(process.eventNames());
  const required = require(entry);
  import(entry).then((imported) => {
    const names = Object.keys(imported).filter((name) => name !== "module.exports");
    const same = names.length > 0 && names.every((name) => imported[name] === required[name]);
    const added = Reflect.ownKeys(globalThis).filter((key) => !globals.has(key)).map(String);
    console.log(JSON.stringify({ same, added, events: process.eventNames().filter((name) => !events.has(name)) }));
  });
`;

let workspace: Workspace;
beforeAll(() => {
  workspace = new Workspace();
  workspace.write("load.cjs", load);
});
afterAll(() => workspace.remove());

describe.each(entries)("$entry", ({ entry, directory, conditions }) => {
  test("loads with import and with require, as one and the same, and leaves nothing behind", async () => {
    // Node 20 and 22 say once that require() of ESM is experimental.
    const run = await workspace.run(process.execPath, ["--no-warnings", "load.cjs", entry]);
    // It has ended by itself.
    expect({ status: run.status, stderr: run.stderr }).toEqual({ status: 0, stderr: "" });
    const { added, ...rest } = JSON.parse(run.stdout) as { added: string[] };
    expect(rest).toEqual({ same: true, events: [] });
    expect(added.filter((name) => !foreign.test(name))).toEqual([]);
  });

  test("is looked for in the sources before the builds, types included", () => {
    expect(Object.keys(conditions)).toEqual(["selvage-source", "types", "default"]);
  });

  test("needs at run time and for its types nothing that isn't declared", () => {
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
    const declared = new Set([
      ...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
      manifest.name,
    ]);
    const wrong = [conditions["default"]!, conditions["types"]!]
      .flatMap((file) => importsOf(join(directory, file)))
      .map((from) => /^(@[^/]+\/)?[^/]+/.exec(from)![0])
      .filter((name) => !name.startsWith("node:") && !builtinModules.includes(name) && !declared.has(name));
    expect(wrong).toEqual([]);
  });
});

describe("types", () => {
  test("are there for whoever compiles against the packages, without this repository's settings", async () => {
    const lines = entries.map(
      ({ entry }, i) => `import * as e${i} from "${entry}";\nexport const n${i}: object = e${i};`,
    );
    const use = `
      import { createMesh, peerOf, type MeshOptions } from "@selvage/core";
      import type { IncomingMessage } from "node:http";
      const options: MeshOptions = { workload: { name: "a" }, outbound: { defaults: { timeout: "2s" } } };
      export const fetched: Promise<Response> = createMesh(options).then((mesh) => mesh.fetch("http://b/"));
      export const who = (req: IncomingMessage): string | undefined => peerOf(req)?.toString();
      // @ts-expect-error: a string is no workload
      export const wrong: MeshOptions = { workload: "a" };`;
    workspace.write("consumer.mts", `${lines.join("\n")}\n${use}\n`);
    const config = {
      module: "nodenext",
      target: "es2022",
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ["node"],
    };
    workspace.write("tsconfig.json", JSON.stringify({ compilerOptions: config, files: ["consumer.mts"] }));
    const run = await workspace.run("npx", ["tsc", "-p", "."]);
    expect(run.stdout).toBe("");
    expect(run.status).toBe(0);
  });
});

describe.each(manifests.map((manifest, i) => ({ ...manifest, directory: `packages/${directories[i]}` })))(
  "the package $name",
  ({ directory, exports, bin }) => {
    test("ships its build, README and LICENSE, and nothing else", async () => {
      const run = await workspace.run("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
        cwd: join(root, directory),
      });
      const [packed] = JSON.parse(run.stdout) as Packed[];
      const paths = packed!.files.map(({ path }) => path);
      expect(paths.filter((path) => !path.startsWith("dist/")).sort()).toEqual([
        "LICENSE",
        "README.md",
        "package.json",
      ]);
      const promised = [
        ...Object.values(exports).flatMap((one) => [one["types"]!, one["default"]!]),
        ...Object.values(bin ?? {}),
      ];
      expect(paths).toEqual(expect.arrayContaining(promised.map((path) => path.replace("./", ""))));
      expect(paths.filter((path) => /\.test\./.test(path))).toEqual([]);
    });

    test("has the repository's licence", () => {
      expect(read(`${directory}/LICENSE`)).toBe(read("LICENSE"));
    });
  },
);

/** What a built file and the files that it is split into import from elsewhere. */
function importsOf(path: string, seen = new Set<string>()): string[] {
  if (seen.has(path)) return [];
  seen.add(path);
  const code = readFileSync(path, "utf8");
  return [...code.matchAll(/^(?:import|export)\b[^"'`;]*?(?:from )?["']([^"']+)["'];$/gm)].flatMap(([, from = ""]) => {
    if (!from.startsWith(".")) return [from];
    const file = join(path, "..", from);
    return importsOf(path.endsWith(".d.ts") ? file.replace(/\.js$/, ".d.ts") : file, seen);
  });
}
