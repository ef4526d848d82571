// The demo: a storefront (Express), two replicas of an inventory (Fastify) of which one fails a third of its requests and then dies, and
// ratings in another language behind the shim. It drives them with ordinary clients, and says only what it observed.
import { fork, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { get } from "node:http";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createMesh } from "@selvage/core";
import { inboundPeers, outboundEdges, parseMetrics, quantileMs } from "./golden.mjs";

const keep = process.argv.includes("--keep");
const seconds = 15;
const perSecond = 40;
const crashAfter = 7;
const here = import.meta.dirname;
const stateDir = mkdtempSync(join(tmpdir(), "selvage-demo-"));
const env = { ...process.env, SELVAGE_STATE_DIR: stateDir };
const children = [];
const problems = [];

const say = (text = "") => process.stdout.write(`${text}\n`);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const claim = (holds, text) => holds || problems.push(text);

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(stateDir, { recursive: true, force: true });
});
process.once("SIGINT", () => process.exit(130));
process.once("SIGTERM", () => process.exit(143));

/** Starts one of the Node services, and waits until it says that it serves. */
function startNode(file, more = {}) {
  const child = fork(join(here, file), { env: { ...env, ...more } });
  children.push(child);
  return new Promise((resolve, reject) => {
    child.once("message", (message) => resolve({ child, ...message }));
    child.once("exit", (code) => reject(new Error(`${file} ended with ${code} before it was ready`)));
  });
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** The ratings in the first language that this machine has. */
async function startRatings() {
  const has = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;
  const choices = [
    {
      language: "Python",
      command: "python3",
      args: [join(here, "ratings.py")],
      there: () => has("python3", "-c", "import http.server"),
    },
    {
      language: "Perl (no Python here)",
      command: "perl",
      args: [join(here, "ratings.pl")],
      there: () => has("perl", "-MIO::Socket::INET", "-e", "1"),
    },
    {
      language: "plain Node without the library (neither Python nor Perl here)",
      command: process.execPath,
      args: [join(here, "ratings-plain.mjs")],
      there: () => true,
    },
  ];
  const { language, command, args } = choices.find((choice) => choice.there());
  const [app, admin] = [await freePort(), await freePort()];
  const cli = join(dirname(createRequire(import.meta.url).resolve("@selvage/proxy-shim")), "cli.cjs");
  const flags = [
    "--name",
    "ratings",
    "--namespace",
    "shop",
    "--app",
    String(app),
    "--port",
    "0",
    "--outbound-port",
    "0",
    "--admin-port",
    String(admin),
  ];
  const child = spawn(process.execPath, [cli, "run", ...flags, "--", command, ...args], { env, stdio: "inherit" });
  children.push(child);
  return { child, language, admin: `http://127.0.0.1:${admin}` };
}

const text = async (url) => (await fetch(url)).text();
const json = async (url) => (await fetch(url)).json();

/** One request to the storefront, by one of two ordinary clients. */
function visit(base, number) {
  const url = `${base}/products/${1 + (number % 20)}`;
  if (number % 2)
    return fetch(url).then(async (response) => ({ status: response.status, body: await response.text() }));
  return new Promise((resolve, reject) => {
    get(url, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode, body }));
      response.on("error", reject);
    }).on("error", reject);
  });
}

say("Starting a storefront, two inventories and ratings …");
const flaky = await startNode("inventory.mjs", { FAIL_SHARE: "0.334" });
// Slower than the failing one, which therefore attracts calls, as quick failures do, until the mesh sees what they are worth.
const sound = await startNode("inventory.mjs", { ANSWER_MS: "4" });
const ratings = await startRatings();
const storefront = await startNode("storefront.mjs");
const base = `http://127.0.0.1:${storefront.address.port}`;

say(`  storefront   Express, the library          ${base}`);
say("  inventory    Fastify, the library, twice; one fails a third of its requests");
say(`  ratings      ${ratings.language}, unmodified, behind the shim`);
say();

// The first visitors may come before everybody has found everybody; the demo's figures start after.
for (let i = 0; i < 300 && (await visit(base, 0).catch(() => null))?.status !== 200; i++) await wait(100);

say(`Driving it for ${seconds} seconds, ${perSecond} visits a second, with fetch and node:http …`);
const seen = { visits: 0, ok: 0, failures: new Map() };
const pending = [];
const started = Date.now();
let crashed = false;
for (let second = 1; second <= seconds; second++) {
  for (let i = 0; i < perSecond; i++) {
    pending.push(
      visit(base, seen.visits++).then(
        ({ status, body }) =>
          status === 200
            ? seen.ok++
            : seen.failures.set(`${status} ${body}`, (seen.failures.get(`${status} ${body}`) ?? 0) + 1),
        (error) => seen.failures.set(error.message, (seen.failures.get(error.message) ?? 0) + 1),
      ),
    );
    // The first half of a second's visits come at once: who has only met one inventory meets the other, too.
    if (second > 1 || i >= perSecond / 2)
      await wait(started + (second - 1) * 1000 + ((i + 1) * 1000) / perSecond - Date.now());
  }
  if (second === crashAfter && !crashed) {
    crashed = true;
    flaky.child.send("die");
  }
  say(
    `  ${String(second).padStart(2)} s  ${seen.visits} visits, ${seen.ok} answered${second === crashAfter ? "; now the failing inventory is killed" : ""}`,
  );
}
await Promise.all(pending);
say();

// Somebody with an identity of the same mesh, but not one that the inventory's rules name.
const stranger = await createMesh({ workload: { name: "stranger", namespace: "lab" }, stateDir, admin: false });
const refused = await stranger.fetch("http://inventory.shop/items/7");
const reason = (await refused.text()).trim();
await stranger.close();

const clients = [
  {
    name: "storefront",
    metrics: parseMetrics(await text(`${storefront.admin}/metrics`)),
    state: await json(`${storefront.admin}/state`),
  },
  {
    name: "ratings",
    metrics: parseMetrics(await text(`${ratings.admin}/metrics`)),
    state: await json(`${ratings.admin}/state`),
  },
];
const servedBy = new Map([
  ["inventory.shop", inboundPeers(parseMetrics(await text(`${sound.admin}/metrics`)))],
  ["ratings.shop", inboundPeers(clients[1].metrics)],
]);

const rows = [["edge", "requests", "ok before retries", "ok after", "p50", "p95", "p99", "on the wire"]];
const identities = [];
for (const { name, metrics, state } of clients) {
  for (const [authority, edge] of outboundEdges(metrics)) {
    // Who was called before it was known.
    if (authority === "_unknown") continue;
    const target = state.targets.find((one) => one.authority === authority);
    const wires = [...new Set(target.endpoints.map((endpoint) => endpoint.wire).filter(Boolean))];
    const share = (good, all) => `${((100 * good) / all).toFixed(1)} %`;
    const ms = (q) => `${quantileMs(edge.buckets, q).toFixed(1)} ms`;
    rows.push([
      `${name} → ${authority}`,
      String(edge.requests),
      share(edge.attemptsOk, edge.attempts),
      share(edge.ok, edge.requests),
      ms(0.5),
      ms(0.95),
      ms(0.99),
      wires.join(", "),
    ]);
    const server = target.endpoints[0]?.identity;
    const client = state.identity;
    identities.push(`  ${client}\n    → ${server}`);
    claim(
      wires.length === 1 && wires[0] === "HTTP/2, TLS 1.3",
      `${name} → ${authority} went over ${wires.join(", ") || "nothing"}, not HTTP/2 and TLS 1.3`,
    );
    claim((servedBy.get(authority)?.get(client) ?? 0) > 0, `${authority} did not see ${client} as its peer`);
    claim(
      server?.startsWith("spiffe://dev.selvage/ns/shop/sa/"),
      `${name} did not verify the identity of ${authority}`,
    );
    if (authority === "inventory.shop")
      claim(edge.attemptsOk < edge.attempts, `no attempt of ${name} at the inventory failed, so no retry was shown`);
    claim(
      edge.ok === edge.requests,
      `${edge.requests - edge.ok} requests of ${name} to ${authority} failed after retries`,
    );
  }
}
claim(rows.length === 4, `${rows.length - 1} edges were measured, not 3`);
claim(
  seen.ok === seen.visits,
  `${seen.visits - seen.ok} visits failed: ${[...seen.failures].map(([what, count]) => `${count} × ${what}`).join("; ")}`,
);
claim(refused.status === 403 && reason.includes("stranger"), `the stranger was answered ${refused.status} ${reason}`);
claim(flaky.child.signalCode === "SIGKILL", "the failing inventory did not die");

const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
say("What was measured, by the callers:");
for (const row of rows)
  say(
    `  ${row
      .map((cell, column) =>
        column === 0 || column === 7 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join("  ")
      .trimEnd()}`,
  );
say();
say("Who proved to be whom, with certificates on both ends:");
for (const line of identities) say(line);
say();
say("What was refused:");
say(`  spiffe://dev.selvage/ns/lab/sa/stranger GET http://inventory.shop/items/7\n    → ${refused.status} ${reason}`);
say();
say(
  `${seen.ok} of ${seen.visits} visits were answered while one inventory failed a third of its requests and then died.`,
);

if (problems.length > 0) {
  say("\nNot as claimed:");
  for (const problem of problems) say(`  - ${problem}`);
}
if (keep && problems.length === 0) {
  say("\nLeft running; Ctrl-C ends it. Try:");
  say(`  curl -i ${base}/products/7`);
  say(`  curl -s ${storefront.admin}/metrics`);
  say(`  curl -s ${storefront.admin}/state`);
  say(`  curl -i http://127.0.0.1:${sound.address.port}/items/7      (refused: no identity)`);
  await new Promise(() => {});
}

const ended = [storefront.child, sound.child, ratings.child].map(
  (child) => new Promise((resolve) => child.once("exit", resolve)),
);
for (const child of [storefront.child, ratings.child, sound.child]) child.kill("SIGTERM");
await Promise.race([Promise.all(ended), wait(10_000)]);
process.exit(problems.length > 0 ? 1 : 0);
