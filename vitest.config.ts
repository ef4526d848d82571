import { defineConfig } from "vitest/config";

// Tests run against the sources, not the builds: the "selvage-source" condition of each package's exports points there.
const resolve = { conditions: ["selvage-source", "node", "import", "default"] };
const ssr = {
  resolve: {
    conditions: ["selvage-source", "node", "import", "default"],
    externalConditions: ["node", "import", "default"],
  },
};

// On a shared machine a second may be late; a test that fails three times is wrong.
const retry = process.env["CI"] ? 2 : 0;

const suite = (name: string, testTimeout: number) => ({
  resolve,
  ssr,
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    retry,
    hookTimeout: 60_000,
    pool: "forks" as const,
    fileParallelism: false,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        resolve,
        ssr,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "test/architecture/**/*.test.ts"],
          testTimeout: 15_000,
          retry,
          pool: "forks",
        },
      },
      suite("conformance", 60_000),
      suite("interop", 60_000),
      suite("fuzz", 120_000 + Number(process.env["FUZZ_SECONDS"] ?? 5) * 1_000),
      suite("attacks", 120_000 + Number(process.env["SOAK_SECONDS"] ?? 20) * 1_000),
      suite("chaos", 180_000),
      suite("docs", 60_000),
    ],
  },
});
