// npm run bench:micro: what a part of the outbound stack costs, alone in one process. Medians of ns per operation.
//   --quick (a tenth of the repetitions)
import { monitorEventLoopDelay } from "node:perf_hooks";
import {
  anyMatch,
  Balancer,
  balancingDefaults,
  compileRetryPolicy,
  endpointStack,
  ListResolver,
  MeshExchange,
  MeshMetrics,
  outboundStack,
  Registry,
  systemClock,
  TargetTable,
  TimerWheel,
} from "@selvage/core/spi";

const quick = process.argv.includes("--quick");
const rounds = quick ? 5 : 15;
const repetitions = quick ? 20_000 : 200_000;
const sizes = [1, 10, 100, 1_000, 10_000];
const clock = systemClock;
const wheel = new TimerWheel(clock);
const retry = compileRetryPolicy();
const headers = ["accept", "*/*", "x-user", "ann", "user-agent", "micro"];

/** Answers at once: what is left is the stack. */
const transport = {
  enforcedIdentity: null,
  call(_x, sink) {
    sink.onHead(200, []);
    sink.onEnd(null);
  },
  close() {},
};
const sink = { onInformational() {}, onHead() {}, onData() {}, onEnd() {}, onError() {} };
const factory = { create: () => transport };

function addresses(count, first = 0) {
  return Array.from({ length: count }, (_, i) => ({
    host: `10.${((first + i) >> 16) & 255}.${((first + i) >> 8) & 255}.${(first + i) & 255}`,
    port: 8080,
    identity: null,
  }));
}

function balancer(hash = null) {
  const parts = { authority: "a", clock, wheel, random: Math.random, factory, wrap: (_endpoint, inner) => inner };
  return new Balancer(parts, { ...balancingDefaults, hash });
}

function targets(configOf) {
  const metrics = new MeshMetrics(new Registry());
  const parts = { clock, wheel, random: Math.random, factory, metrics, wrap: endpointStack(clock) };
  const table = new TargetTable(configOf, parts, { maxTargets: 20_000 });
  return { table, metrics };
}

function route(path) {
  const kind = path === "" ? "prefix" : "exact";
  return { name: path, match: { ...anyMatch, path: { kind, value: path } }, timeoutMs: 0, retry };
}

const config = (authority, routes = []) => ({
  authority,
  resolver: new ListResolver(addresses(3)),
  identity: null,
  routes,
  fallback: route(""),
});

/** The median of rounds, in ns per call. */
function measure(name, operation) {
  const results = [];
  for (let round = -2; round < rounds; round++) {
    const started = process.hrtime.bigint();
    for (let i = 0; i < repetitions; i++) operation(i);
    if (round >= 0) results.push(Number(process.hrtime.bigint() - started) / repetitions);
  }
  const median = results.sort((a, b) => a - b)[rounds >> 1];
  row(name, `${median.toFixed(0)} ns`);
  return median;
}

function row(name, value) {
  process.stdout.write(`${name.padEnd(44)}${value.padStart(12)}\n`);
}

const hash = { by: "header", name: "x-user", maxLoad: 1.5 };
for (const count of sizes) {
  const by = balancer();
  by.update(addresses(count));
  const now = clock.now();
  measure(`pick by load, ${count} endpoints`, () => by.pickFor(headers, null, now));
}
for (const count of sizes) {
  const by = balancer(hash);
  by.update(addresses(count));
  const now = clock.now();
  const keys = Array.from({ length: 1_024 }, (_, i) => ["accept", "*/*", "x-user", `user-${i}`]);
  measure(`pick by key, ${count} endpoints`, (i) => by.pickFor(keys[i & 1_023], null, now));
}
for (const count of [1, 100, 1_000]) {
  const { table } = targets((name) => config(name));
  const names = Array.from({ length: count }, (_, i) => `service-${i}.shop`);
  measure(`find target, ${count} services`, (i) => table.find(names[i % count]));
  table.close();
}
for (const count of [1, 100, 1_000]) {
  const paths = Array.from({ length: count }, (_, i) => `/items/${i}/parts`);
  const { table } = targets((name) => config(name, paths.map(route)));
  const { routes } = table.find("a.shop");
  measure(`match route, ${count} routes`, (i) => routes.find("GET", paths[i % count], headers));
  table.close();
}

const { table, metrics } = targets((name) => config(name));
const stack = outboundStack({ clock, wheel, random: Math.random, metrics, targets: table, trace: null });
function exchange() {
  const x = new MeshExchange("outbound");
  x.authority = "a.shop";
  x.headers = headers;
  return x;
}
const bare = measure("bare transport, with its exchange", () => transport.call(exchange(), sink));
const whole = measure("whole outbound stack", () => stack.call(exchange(), sink));
row("what the outbound stack adds to a call", `${(whole - bare).toFixed(0)} ns`);
table.close();

for (const [name, by] of [
  ["by load", balancer()],
  ["by key", balancer(hash)],
]) {
  const times = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  for (let round = -2; round < rounds; round++) {
    const next = addresses(10_000, round % 2 === 0 ? 0 : 100);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (round === 0) delay.enable();
    const started = performance.now();
    by.update(next);
    if (round >= 0) times.push(performance.now() - started);
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  row(`update of 10,000 endpoints, ${name}`, `${times.sort((a, b) => a - b)[rounds >> 1].toFixed(1)} ms`);
  row(`longest stall of the event loop, ${name}`, `${(delay.max / 1e6).toFixed(1)} ms`);
  by.close();
}
