import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";

/** What an entry loads from other packages, and when. */
async function importsOf(entry: string): Promise<Map<string, Set<string>>> {
  const result = await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    write: false,
    metafile: true,
    outdir: "out",
  });
  const found = new Map<string, Set<string>>();
  for (const output of Object.values(result.metafile.outputs)) {
    for (const { path, kind, external } of output.imports) {
      if (external && !path.startsWith("node:")) found.set(path, (found.get(path) ?? new Set()).add(kind));
    }
  }
  return found;
}

describe("the main entry", () => {
  test("loads gRPC and JOSE only for whoever uses them, and of forge only its ASN.1", async () => {
    const imports = await importsOf("./index.ts");
    expect([...(imports.get("@grpc/grpc-js") ?? [])]).toEqual(["dynamic-import"]);
    expect([...(imports.get("jose") ?? [])]).toEqual(["dynamic-import"]);
    expect([...imports.keys()].sort()).toEqual(["@grpc/grpc-js", "jose", "node-forge/lib/asn1.js", "p-retry"]);
  });
});
