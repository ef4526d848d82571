// npm run check: format, lint, types, unit and architecture tests.
import { installed, run } from "./prepared.mjs";

installed();
run("npx", ["biome", "ci", "--error-on-warnings", "."]);
run("npx", ["tsc", "-p", "."]);
run("npx", ["vitest", "run", "--project", "unit"]);
