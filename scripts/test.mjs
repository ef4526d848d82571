// npm test: everything that must pass.
import { built, installed, run } from "./prepared.mjs";

installed();
built({ types: true });
run("npx", ["vitest", "run"]);
