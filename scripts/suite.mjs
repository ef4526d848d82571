// npm run conformance | interop | fuzz | attacks | chaos | bench | bench:micro | mutation: one of the suites under test/.
// npm run soak: the hundred rotations of identities, at length.
import { built, installed, run } from "./prepared.mjs";

const [suite = "", ...rest] = process.argv.slice(2);
installed();
built();
if (suite === "mutation") run("node", ["test/mutation/main.mjs", ...rest]);
else if (suite === "soak") {
  process.env.IDENTITY_SOAK = "1";
  run("npx", ["vitest", "run", "--project", "conformance", "identity-soak", ...rest]);
} else if (suite === "bench") run("node", ["test/bench/main.mjs", ...rest]);
else if (suite === "micro") run("node", ["test/bench/micro/micro.mjs", ...rest]);
else if (suite === "bench-identity") run("node", ["--expose-gc", "test/bench/micro/identity.mjs", ...rest]);
else run("npx", ["vitest", "run", "--project", suite, ...rest]);
