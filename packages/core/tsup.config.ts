import { defineConfig } from "tsup";

export default defineConfig({
  entry: ["src/index.ts", "src/grpc.ts", "src/spi.ts", "src/testing.ts"],
  format: ["esm"],
  target: "node20",
  dts: true,
  clean: true,
  sourcemap: true,
});
