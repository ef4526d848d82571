// npm run conformance | interop | fuzz | attacks | chaos | bench: one of the suites under test/.
import { built, installed, run } from "./prepared.mjs";

const [suite = "", ...rest] = process.argv.slice(2);
installed();
built();
if (suite === "bench") run("node", ["test/bench/main.mjs", ...rest]);
else run("npx", ["vitest", "run", "--project", suite, ...rest]);
