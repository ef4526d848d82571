import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Mesh } from "@selvage/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppState } from "./app-state.js";
import type { Client } from "./client.js";
import { clientNames, meshedClients } from "./clients/all.js";
import { nodeHttpClient } from "./clients/node-http.js";
import { type Feature, features, type Pair, requestFeatures } from "./features.js";
import { expresses } from "./frameworks/express.js";
import { fastifyFramework } from "./frameworks/fastify.js";
import { honoFramework } from "./frameworks/hono.js";
import { koaFramework } from "./frameworks/koa.js";
import { nestFramework } from "./frameworks/nest.js";
import { callerId, listen, Meshes } from "./meshes.js";

const frameworks = [...expresses, fastifyFramework, koaFramework, nestFramework, honoFramework];
const outside = "node:http, unmeshed";
const meshes = new Meshes();
const state = new AppState();
const ports: Record<string, number> = {};
const authorityOf = (framework: string) => `${framework.toLowerCase().replace(" ", "")}.test`;
let tests = 0;
let clients: ReadonlyMap<string, Client>;

/** Feature by framework: the clients with which it works, and those with which it doesn't. */
const results = new Map<string, { readonly works: string[]; readonly fails: string[] }>();
const resultOf = (feature: string, framework: string) => {
  const key = `${feature} ${framework}`;
  const found = results.get(key) ?? { works: [], fails: [] };
  results.set(key, found);
  return found;
};

beforeAll(async () => {
  const server: Mesh = await meshes.server();
  for (const framework of frameworks) {
    ports[authorityOf(framework.name)] = await listen(await framework.start(server, state));
  }
  clients = meshedClients(await meshes.caller(ports));
});
afterAll(() => meshes.stop());

for (const framework of frameworks) {
  const authority = authorityOf(framework.name);
  describe.each([...clientNames, outside])(`${framework.name} ← %s`, (name) => {
    const own: readonly Feature[] = name.startsWith("node:") ? requestFeatures : [];
    for (const feature of [...features, ...own]) {
      test(feature.name, async ({ skip }) => {
        const client = clients.get(name) ?? nodeHttpClient(name, "http", undefined, ports[authority]);
        const lack = feature.needs && client.lacks[feature.needs];
        if (lack) skip(lack);
        const { works, fails } = resultOf(feature.name, framework.name);
        const pair: Pair = {
          client,
          state,
          caller: name === outside ? null : callerId,
          origin: `${client.scheme}://${authority}`,
          key: `${++tests}`,
        };
        fails.push(name);
        await feature.run(pair);
        fails.splice(fails.indexOf(name), 1);
        works.push(name);
      });
    }
  });
}

test("every framework and every client took part", () => {
  const seen = new Set([...results.values()].flatMap(({ works, fails }) => [...works, ...fails]));
  expect([...seen].sort()).toEqual([...clientNames, outside].sort());
});

afterAll(() => {
  const cell = (feature: string, framework: string): string => {
    const { works, fails } = resultOf(feature, framework);
    return fails.length > 0 ? `✗ ${fails.join(", ")}` : works.length > 0 ? `✓ ${works.length}` : "·";
  };
  const names = frameworks.map(({ name }) => name);
  const rows = [...features, ...requestFeatures].map(
    ({ name }) => `| ${name} | ${names.map((framework) => cell(name, framework)).join(" | ")} |`,
  );
  const report = [
    `# Frameworks and clients, Node ${process.version}`,
    "",
    `✓ and the number of clients with which it works, ✗ and those with which it doesn't. The clients: ${[...clientNames, outside].join(", ")}.`,
    "",
    `| feature | ${names.join(" | ")} |`,
    `|---|${names.map(() => ":-:").join("|")}|`,
    ...rows,
    "",
  ].join("\n");
  const directory = resolve(import.meta.dirname, "../../test-results");
  mkdirSync(directory, { recursive: true });
  writeFileSync(resolve(directory, "interop.md"), report);
});
