// npm run bench: what the mesh costs, against its peers on the same machine in the same minutes.
//   --rounds N (5)   --quick (one short round)   --only SCENARIO,…   --json FILE   --install (missing peers, as root)
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Certificates } from "./certificates.mjs";
import { findPeers } from "./peers.mjs";
import { Report } from "./report.mjs";

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    json: { type: "string" },
    install: { type: "boolean", default: false },
  },
});
const maxWarmUps = 8;
const rounds = flags.quick ? 1 : Number(flags.rounds);

if (process.platform !== "linux" || availableParallelism() < 2) {
  process.stderr.write("the benchmarks need Linux and two CPUs: one for what is measured, one for what loads it\n");
  process.exit(2);
}

const peers = findPeers(flags);
if (!peers.has("taskset") || !peers.has("openssl")) process.exit(2);
const directory = mkdtempSync(join(tmpdir(), "selvage-bench-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

const certificates = new Certificates(directory);
const bench = {
  directory,
  peers,
  certificates,
  identities: { client: certificates.issue("client"), server: certificates.issue("server") },
  quick: flags.quick,
  rounds,
  /** Of one window. */
  seconds: flags.quick ? 1 : 2,
  /** At most, for a window that others disturb. */
  tries: flags.quick ? 1 : 2,
};

const report = new Report();
const order = ["shim-pair", "library-pair", "client", "server", "http1-floor", "shim-process", "connections", "bodies"];
const there = readdirSync(new URL("scenarios/", import.meta.url)).map((file) => file.replace(".mjs", ""));
const chosen = flags.only?.split(",") ?? order.filter((name) => there.includes(name));

for (const name of chosen) {
  const scenario = await import(`./scenarios/${name}.mjs`);
  const missing = scenario.needs.filter((peer) => !peers.has(peer));
  if (missing.length > 0) {
    process.stdout.write(`${name}: skipped, needs ${missing.join(", ")}\n`);
    continue;
  }
  const started = performance.now();
  process.stdout.write(`${name} `);
  await play(name, await scenario.start(bench));
  process.stdout.write(` ${((performance.now() - started) / 1_000).toFixed(0)} s\n`);
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify(report.json(rounds), null, 2)}\n`);
}

/** Rounds in which windows take turns, every other round backwards. */
async function play(name, { windows, figures, stop, once = false }) {
  const all = Object.entries(windows);
  if (!once) for (const [, run] of all) await warmUp(run);
  for (let round = 1; round <= (once ? 1 : rounds); round += 1) {
    const results = {};
    for (const [window, run] of round % 2 === 0 ? all : all.toReversed()) {
      try {
        results[window] = await run();
      } catch (error) {
        process.stdout.write(`\n${name}.${window}, round ${round}: ${error.message.split("\n    at ")[0]}\n`);
        results[window] = {};
      }
      detail(`${name}.${window}`, results[window]);
    }
    for (const [key, values] of Object.entries(figures(results))) {
      for (const value of [values].flat()) if (Number.isFinite(value)) report.add(key, value);
    }
    process.stdout.write(".");
  }
  await stop();
}

/** Until two windows in a row are no better by a twentieth: what V8 has not compiled yet costs several times as much. */
async function warmUp(run) {
  let best = Number.POSITIVE_INFINITY;
  let flat = 0;
  for (let times = 0; times < maxWarmUps && flat < 2; times += 1) {
    const cpuUs = await run().then(
      (result) => result.cpuUs,
      () => best,
    );
    if (cpuUs === undefined) return;
    flat = cpuUs > best * 0.95 ? flat + 1 : 0;
    best = Math.min(best, cpuUs);
  }
}

function detail(name, result) {
  for (const [key, value] of Object.entries(result)) {
    if (Array.isArray(value)) {
      for (const [i, each] of value.entries()) {
        if (typeof each === "number") report.detail(`${name}.${key}.${i + 1}`, each);
      }
    } else if (typeof value === "number" && key !== "requests") report.detail(`${name}.${key}`, value);
  }
}

process.stdout.write(`\n${report.detailTable()}\n\n${report.table()}\n`);
process.exit();
