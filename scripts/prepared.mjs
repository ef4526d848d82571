// Brings a clone to where its scripts can run: dependencies as the lock file says, packages built from the sources that are there.
// With nothing to do it takes a few milliseconds. Uses only what Node brings, since nothing is installed before it ran.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stamps = join(root, "node_modules", ".selvage");
/** Leaves first: a package's types are built from those of the packages below it. */
const packages = ["http2", "tls-identity", "policy", "core", "proxy-shim"];

/** Runs a command in the clone and ends the process when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
    ...options,
  });
  if (result.status !== 0) {
    process.stderr.write(`failed: ${command} ${args.join(" ")}\n`);
    process.exit(result.status ?? 1);
  }
}

function sources(directory, found = []) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) sources(path, found);
    else if (/\.(ts|json)$/.test(entry.name) && !entry.name.endsWith(".test.ts")) found.push(path);
  }
  return found;
}

function fingerprint(paths) {
  const hash = createHash("sha256");
  for (const path of paths) hash.update(path).update(readFileSync(path));
  return hash.digest("hex");
}

function stamped(name) {
  const path = join(stamps, name);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function stamp(name, value) {
  mkdirSync(stamps, { recursive: true });
  writeFileSync(join(stamps, name), value);
}

/** Installs when the lock file is not the one that was installed last. */
export function installed() {
  const want = fingerprint([join(root, "package-lock.json")]);
  if (stamped("installed") === want && existsSync(join(root, "node_modules", "vitest"))) return;
  process.stdout.write("installing dependencies …\n");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
  stamp("installed", want);
}

/** Builds the packages whose sources changed since they were built, and those above them. */
export function built({ types = false } = {}) {
  let stale = false;
  for (const name of packages) {
    const directory = join(root, "packages", name);
    const want =
      fingerprint([
        ...sources(join(directory, "src")),
        join(directory, "package.json"),
        join(directory, "tsup.config.ts"),
      ]) + (types ? " types" : "");
    const have = stamped(`built-${name}`);
    const fresh = have === want || (!types && have === `${want} types`);
    if (!stale && fresh && existsSync(join(directory, "dist", "index.js"))) continue;
    stale = true;
    process.stdout.write(`building @selvage/${name} …\n`);
    rmSync(join(directory, "dist"), { recursive: true, force: true });
    run("npx", ["tsup", "--silent", ...(types ? [] : ["--no-dts"])], { cwd: directory });
    stamp(`built-${name}`, want);
  }
  // npm links a command when it installs, but only one whose file is there.
  if (
    existsSync(join(root, "packages/proxy-shim/dist/cli.cjs")) &&
    !existsSync(join(root, "node_modules/.bin/selvage"))
  ) {
    run("npm", ["rebuild", "--ignore-scripts", "--silent", "@selvage/proxy-shim"]);
  }
}

if (process.argv[1] && statSync(process.argv[1]).isFile() && fileURLToPath(import.meta.url) === process.argv[1]) {
  installed();
  if (process.argv.includes("--build")) built({ types: true });
}
