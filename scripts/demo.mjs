// npm run demo [-- --keep]
import { built, installed, run } from "./prepared.mjs";

installed();
built();
run("node", ["examples/demo/main.mjs", ...process.argv.slice(2)]);
