import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { expect, test } from "vitest";

test("run and shim load neither gRPC nor JOSE nor what is behind selvage identity", async () => {
  const result = await build({
    entryPoints: [fileURLToPath(new URL("./command.ts", import.meta.url))],
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    conditions: ["selvage-source"],
    external: [
      ...["@grpc/grpc-js", "@opentelemetry/api", "commander", "jose", "p-retry", "undici", "yaml", "zod"],
      "node-forge/*",
    ],
    write: false,
    metafile: true,
    outdir: "out",
  });
  const { outputs } = result.metafile;
  const loaded = new Set<string>();
  const visit = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const input of Object.keys(outputs[path]?.inputs ?? {})) loaded.add(input);
    for (const next of outputs[path]?.imports ?? []) if (next.kind === "import-statement") visit(next.path);
  };
  visit(Object.keys(outputs).find((path) => outputs[path]!.entryPoint?.endsWith("src/command.ts"))!);
  const names = [...loaded];
  expect(names.some((name) => name.endsWith("core/src/mesh/runtime.ts"))).toBe(true);
  const late = /grpc-js|^jose$|^undici$|proxy-shim\/src\/identity\/(?!identity-command)/;
  expect(names.filter((name) => late.test(name))).toEqual([]);
});
