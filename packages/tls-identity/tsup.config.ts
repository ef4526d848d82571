import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/grpc.ts", "src/testing.ts"],
  format: ["esm"],
  target: "node20",
  // Types of other packages come from their builds, not from their sources.
  dts: { compilerOptions: { customConditions: [] } },
  clean: true,
  sourcemap: true,
});
