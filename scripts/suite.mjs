// npm run conformance | interop | fuzz | attacks | chaos | bench | bench:micro: one of the suites under test/.
import { built, installed, run } from "./prepared.mjs";

const [suite = "", ...rest] = process.argv.slice(2);
installed();
built();
if (suite === "bench") run("node", ["test/bench/main.mjs", ...rest]);
else if (suite === "micro") run("node", ["test/bench/micro/micro.mjs", ...rest]);
else run("npx", ["vitest", "run", "--project", suite, ...rest]);
