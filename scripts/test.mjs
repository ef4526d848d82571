// npm test: everything that must pass, one suite after the other, since they share the machine's processors. What measures
// under load is apart: npm run chaos, npm run bench.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { built, installed } from "./prepared.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const results = join(root, "test-results");
// What is quick to fail comes first.
const suites = ["unit", "docs", "conformance", "interop", "attacks", "fuzz"];
/** `check` has run these already, where both run. */
const skipped = process.argv.includes("--after-check") ? ["unit"] : [];

installed();
built({ types: true });
mkdirSync(results, { recursive: true });

const total = { passed: 0, failed: 0, skipped: 0 };
for (const suite of suites.filter((name) => !skipped.includes(name))) {
  if (suite !== "unit" && !existsSync(join(root, "test", suite))) continue;
  if (suite !== "unit" && !hasTests(join(root, "test", suite))) continue;
  const file = join(results, `${suite}.json`);
  rmSync(file, { force: true });
  process.stdout.write(`\n— ${suite}\n`);
  const reporters = ["--reporter=dot", "--reporter=json", `--outputFile.json=${file}`];
  const { status } = spawnSync("npx", ["vitest", "run", "--project", suite, ...reporters], {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  const summary = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
  total.passed += summary?.numPassedTests ?? 0;
  total.failed += summary?.numFailedTests ?? 0;
  total.skipped += (summary?.numPendingTests ?? 0) + (summary?.numTodoTests ?? 0);
  if (status !== 0 && !summary?.numFailedTests) total.failed += 1;
}

process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
process.exit(total.failed > 0 ? 1 : 0);

function hasTests(directory) {
  return readdirSync(directory, { recursive: true }).some((name) => String(name).endsWith(".test.ts"));
}
