import { createRequire } from "node:module";
import { dirname, join } from "node:path";

// The test runner hands the condition "import" to Node, so that a `require` within CommonJS gets the ES module of packages that have
// both. Express 5's router calls what it gets from is-promise, and a module's namespace can't be called. Has to come before Express.
const require = createRequire(import.meta.url);
const resolved = require.resolve("is-promise");
if (resolved.endsWith(".mjs")) {
  require(resolved);
  const loaded = require.cache[resolved];
  if (loaded) loaded.exports = require(join(dirname(resolved), "index.js"));
}
