import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { EndpointAddress } from "../resolver/resolver.js";
import { LocalRegistry } from "./local-registry.js";
import { processStart } from "./process-alive.js";

const identity = "spiffe://dev.selvage/ns/shop/sa/inventory";
let directory: string;
let registries: LocalRegistry[];

beforeEach(() => {
  directory = join(mkdtempSync(join(tmpdir(), "registry-")), "registry");
  registries = [];
});

afterEach(() => {
  for (const registry of registries) registry.close();
  rmSync(directory, { recursive: true, force: true });
});

function registry(onProblem?: (message: string) => void): LocalRegistry {
  const made = new LocalRegistry({ directory, intervalMs: 10, ...(onProblem ? { onProblem } : {}) });
  registries.push(made);
  return made;
}

/** Watches one authority and waits for updates. */
function watching(from: LocalRegistry, authority: string) {
  const updates: (readonly EndpointAddress[])[] = [];
  let wake = () => {};
  const watch = from.resolver(authority).watch({
    onUpdate(endpoints) {
      updates.push(endpoints);
      wake();
    },
    onFailure() {},
  });
  return {
    updates,
    close: () => watch.close(),
    async until(count: number): Promise<readonly EndpointAddress[]> {
      while (updates.at(-1)?.length !== count) await new Promise<void>((resolve) => (wake = resolve));
      return updates.at(-1) ?? [];
    },
  };
}

test("what one process registers, another watcher sees, and its removal too", async () => {
  const server = registry();
  const client = watching(registry(), "inventory.shop");
  const first = server.register("inventory.shop", "127.0.0.1:4001", identity);
  server.register("inventory.shop", "[::1]:4002", identity);
  server.register("orders.shop", "127.0.0.1:4003", identity);
  expect(await client.until(2)).toEqual([
    { host: "127.0.0.1", port: 4001, identity },
    { host: "::1", port: 4002, identity },
  ]);
  first.remove();
  expect(await client.until(1)).toEqual([{ host: "::1", port: 4002, identity }]);
  expect(server.authorities()).toEqual(["inventory.shop", "orders.shop"]);
});

test("nothing is delivered again when nothing changed", async () => {
  const server = registry();
  server.register("inventory.shop", "127.0.0.1:4001", identity);
  const client = watching(registry(), "inventory.shop");
  const witness = watching(registry(), "witness");
  server.register("witness", "127.0.0.1:1", identity);
  await witness.until(1);
  expect(client.updates).toHaveLength(1);
});

test("the endpoint of a dead process disappears, and so does its file", async () => {
  const client = watching(registry(), "inventory.shop");
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  const entry = { version: 1, authority: "inventory.shop", address: "127.0.0.1:4001", identity, pid: dead, start: "1" };
  writeFileSync(join(directory, "dead.json"), JSON.stringify(entry));
  const living = registry();
  living.register("inventory.shop", "127.0.0.1:4002", identity);
  expect(await client.until(1)).toEqual([{ host: "127.0.0.1", port: 4002, identity }]);
  expect(readdirSync(directory)).not.toContain("dead.json");
});

test("a process id that was given out again does not bring an endpoint back", {
  skip: processStart(process.pid) === "",
}, () => {
  const client = registry();
  client.register("other", "127.0.0.1:1", identity);
  const entry = {
    version: 1,
    authority: "inventory.shop",
    address: "127.0.0.1:4001",
    identity,
    pid: process.pid,
    start: "1",
  };
  writeFileSync(join(directory, "reused.json"), JSON.stringify(entry));
  expect(watching(client, "inventory.shop").updates).toEqual([[]]);
});

test("a broken file is reported once with its path and reason, and the others still count", () => {
  const problems: string[] = [];
  const client = registry((message) => problems.push(message));
  client.register("inventory.shop", "127.0.0.1:4001", identity);
  writeFileSync(join(directory, "a.json"), "{");
  writeFileSync(join(directory, "b.json"), JSON.stringify({ version: 1, authority: "inventory.shop" }));
  expect(watching(client, "inventory.shop").updates.at(-1)).toHaveLength(1);
  client.authorities();
  expect(problems).toHaveLength(2);
  expect(problems[0]).toContain("a.json: is not JSON");
  expect(problems[1]).toMatch(/b\.json: address: .*remove the file/);
});

test("files are readable by this user only", () => {
  registry().register("inventory.shop", "127.0.0.1:4001", identity);
  for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o077).toBe(0);
  expect(statSync(directory).mode & 0o077).toBe(0);
});

test("close removes what this process registered", () => {
  const server = registry();
  server.register("inventory.shop", "127.0.0.1:4001", identity);
  server.close();
  expect(readdirSync(directory)).toEqual([]);
});
