import { unlink } from "node:fs/promises";
import { basename } from "node:path";
import { type Plugin, transform } from "esbuild";
import { defineConfig } from "tsup";

/** What tsup hands over to be written. */
interface ChunkInfo {
  readonly code: string;
  readonly path: string;
  readonly map?: string | object | null;
}

/**
 * What becomes a file of its own. V8 needs some ten bytes of working memory for each byte of a file that it parses, in pieces
 * that its allocator doesn't give back; and what is parsed alone is gone before the next file is read.
 */
const parts = [
  "yaml",
  "zod",
  "node-forge/lib/asn1.js",
  "@opentelemetry/api",
  "@selvage/http2",
  "@selvage/tls-identity",
  "@selvage/policy",
  "@selvage/core",
];

/** An entry that imports nothing of a part but its name makes esbuild keep the part's code apart from everybody else's. */
const apart: Plugin = {
  name: "apart",
  setup(build) {
    build.initialOptions.entryPoints = [
      { in: "src/cli.ts", out: "cli" },
      ...parts.map((part, i) => ({ in: `part:${part}`, out: `part-${i}` })),
    ];
    build.onResolve({ filter: /^part:/ }, ({ path }) => ({ path: path.slice("part:".length), namespace: "part" }));
    build.onLoad({ filter: /.*/, namespace: "part" }, ({ path }) => ({
      contents: `import ${JSON.stringify(path)};`,
      resolveDir: import.meta.dirname,
    }));
  },
};

// esbuild's own copies each export once more, behind a getter that all of them share: too slow for what runs in each request.
const copied = /^var __toCommonJS = .*$/m;

/** esbuild splits only what it writes as ES modules, so they are made CommonJS one by one. */
async function asCommonJs({ code, map, path }: ChunkInfo): Promise<{ code: string; map: string }> {
  const url = `data:application/json;base64,${Buffer.from(typeof map === "string" ? map : JSON.stringify(map)).toString("base64")}`;
  const { code: readable } = await transform(`${code}\n//# sourceMappingURL=${url}`, {
    format: "cjs",
    platform: "node",
    target: "node20",
    supported: { "dynamic-import": false },
    sourcemap: "inline",
    sourcefile: basename(path),
  });
  if (readable.includes("__toCommonJS(") && !copied.test(readable)) throw new Error(`${path} exports otherwise`);
  return transform(readable.replace(copied, "var __toCommonJS = (mod) => mod;"), {
    minify: true,
    target: "node20",
    legalComments: "none",
    sourcemap: "external",
    sourcefile: basename(path),
  });
}

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
    // used, doubles the time until a shim is ready and its memory. It is CommonJS, since Node's loader of ES modules is 2 MiB more,
    // most of it for the threads that read files for it.
    entry: ["src/cli.ts"],
    format: ["esm"],
    target: "node20",
    outExtension: () => ({ js: ".cjs" }),
    noExternal: [/^(?!@grpc\/grpc-js$|undici$)/],
    external: ["@grpc/grpc-js", "undici"],
    splitting: true,
    treeshake: false,
    esbuildPlugins: [apart],
    esbuildOptions(options) {
      options.minify = true;
      options.legalComments = "none";
      options.define = { ...options.define, "import.meta.url": "__filename" };
    },
    plugins: [
      {
        name: "commonjs",
        async renderChunk(_code, info) {
          if (info.type !== "chunk") return undefined;
          const { code, map } = await asCommonJs(info);
          info.map = map;
          return { code };
        },
        async buildEnd({ writtenFiles }) {
          for (const { name } of writtenFiles) if (/\/part-\d+\.cjs/.test(name)) await unlink(name);
        },
      },
    ],
    sourcemap: true,
  },
]);
