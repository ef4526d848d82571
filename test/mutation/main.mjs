// npm run mutation: takes each single check out of what verifies identities, one at a time, and runs the unit tests of it. A check
// that can go without a test failing is named, and ends this with status 1.
//   --only FILE,…   --list
import { readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ts from "typescript";
import { createVitest } from "vitest/node";
import { mutantsOf } from "./mutants.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = "packages/tls-identity/src";

/** What is mutated, and the tests that have to notice. */
const subjects = {
  "verify.ts": ["verify", "testing/bad-identities"],
  "peer-identity.ts": ["tls-options", "testing/bad-identities"],
  "tls-options.ts": ["tls-options", "testing/bad-identities"],
  "anchors.ts": ["anchors", "rotation", "testing/bad-identities"],
  "chain.ts": ["chain", "rotation"],
  "snapshot.ts": ["rotation", "chain"],
  "spiffe-id.ts": ["spiffe-id"],
  "certificate.ts": ["certificate", "verify", "testing/bad-identities"],
  "csr.ts": ["csr"],
};
/** Rules are not what random mutants of certificates are about, and these take long. */
const withoutFuzz = /^(?!.*(20,000|flood of ids|gives back exactly)).*$/;

const { values: flags } = parseArgs({ options: { only: { type: "string" }, list: { type: "boolean" } } });
const chosen = flags.only?.split(",") ?? Object.keys(subjects);

const all = chosen.flatMap((file) => {
  const path = join(root, directory, file);
  return mutantsOf(readFileSync(path, "utf8")).map((mutant) => ({ ...mutant, file, path }));
});
if (flags.list) {
  for (const { file, line, what } of all) process.stdout.write(`${file}:${line} ${what}\n`);
  process.stdout.write(`${all.length} checks\n`);
  process.exit();
}
for (const { file, line, text } of all) {
  const { diagnostics } = ts.transpileModule(text, { reportDiagnostics: true });
  if (diagnostics?.length) throw new Error(`${file}:${line}: the mutant is no TypeScript`);
}

let current = null;
const conditions = ["selvage-source", "node", "import", "default"];
const vitest = await createVitest(
  "test",
  {
    root,
    config: false,
    watch: false,
    include: [...new Set(Object.values(subjects).flat())].map((name) => `${directory}/${name}.test.ts`),
    pool: "threads",
    isolate: false,
    testTimeout: 15_000,
    bail: 1,
    testNamePattern: withoutFuzz,
    reporters: [{}],
  },
  {
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: ["node", "import", "default"] } },
    plugins: [
      {
        name: "mutant",
        enforce: "pre",
        load: (id) => (current !== null && id === current.path.split(sep).join("/") ? current.text : null),
      },
    ],
  },
);
const specifications = await vitest.globTestSpecifications();

/** Whether the tests of a subject fail. */
async function fails(file) {
  const wanted = subjects[file].map((name) => `/${directory}/${name}.test.ts`);
  vitest.state.clearErrors();
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications(
    specifications.filter(({ moduleId }) => wanted.some((path) => moduleId.endsWith(path))),
  );
  return unhandledErrors.length > 0 || testModules.some((module) => module.state() === "failed");
}

async function expectWell(file, when) {
  if (await fails(file)) throw new Error(`the tests of ${file} fail without any mutation, ${when} those with`);
}

const started = performance.now();
const survivors = [];
for (const file of chosen) {
  await expectWell(file, "before");
  for (const mutant of all.filter((one) => one.file === file)) {
    current = mutant;
    vitest.invalidateFile(mutant.path);
    const killed = await fails(file);
    current = null;
    vitest.invalidateFile(mutant.path);
    if (!killed) survivors.push(mutant);
    process.stdout.write(killed ? "." : "S");
  }
  // Whatever failed did so because of the mutants.
  await expectWell(file, "after");
}
await vitest.close();

const seconds = Math.round((performance.now() - started) / 1000);
process.stdout.write(`\n${all.length} checks taken out one by one in ${seconds} s, ${survivors.length} not missed\n`);
for (const { file, line, what } of survivors) process.stdout.write(`  ${directory}/${file}:${line} ${what}\n`);
process.exit(survivors.length > 0 ? 1 : 0);
