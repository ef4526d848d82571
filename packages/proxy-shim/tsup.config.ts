import { defineConfig } from "tsup";

export default defineConfig([
  {
    entry: ["src/index.ts"],
    format: ["esm"],
    target: "node20",
    // Types of other packages come from their builds, not from their sources.
    dts: { compilerOptions: { customConditions: [] } },
    sourcemap: true,
  },
  {
    // The command is one program: what it needs of its dependencies is in it. Reading some hundred files, of which a part is
    // used, doubles the time until a shim is ready and its memory.
    entry: ["src/cli.ts"],
    format: ["esm"],
    target: "node20",
    noExternal: [/^(?!@grpc\/grpc-js$|undici$)/],
    external: ["@grpc/grpc-js", "undici"],
    splitting: true,
    treeshake: false,
    // CommonJS that is in it asks for Node's modules by `require`.
    banner: { js: 'import { createRequire as __cr } from "node:module";\nconst require = __cr(import.meta.url);' },
    esbuildOptions(options) {
      options.minify = true;
      options.legalComments = "none";
    },
    sourcemap: true,
  },
]);
