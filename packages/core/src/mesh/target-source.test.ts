import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadConfig } from "../config/load.js";
import type { MeshOptions, ServiceOptions } from "../config/options.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import { createTargetSource } from "./target-source.js";

const identity = "spiffe://dev.selvage/ns/shop/sa/inventory";

function sourceOf(options: MeshOptions, cwd = tmpdir()) {
  const events: string[] = [];
  const config = loadConfig({ options, env: {}, cwd });
  const source = createTargetSource({
    config,
    registry: null,
    factory: () => ({ create: () => ({ enforcedIdentity: null, call() {}, close() {} }) }),
    log: (_level, event, fields) => events.push(`${event} ${JSON.stringify(fields?.["authority"])}`),
  });
  return { source, events };
}

function targetOf(service: ServiceOptions, rest: MeshOptions = {}, cwd?: string) {
  const { source, events } = sourceOf({ ...rest, outbound: { services: { "inventory.shop": service } } }, cwd);
  return { target: source("inventory.shop", "http")!, events };
}

/** The first set of endpoints that a target's resolver tells of. */
function firstOf(service: ServiceOptions, cwd?: string): Promise<readonly EndpointAddress[]> {
  return new Promise((resolve, reject) => {
    const { target } = targetOf(service, {}, cwd);
    const watch = target.resolver.watch({
      onUpdate(endpoints) {
        resolve(endpoints);
        setImmediate(() => watch.close());
      },
      onFailure: reject,
    });
  });
}

test("endpoints that DNS finds have the service's identity and protocol", async () => {
  const endpoints = await firstOf({ endpoints: { dns: "localhost:4143" }, identity, protocol: "h2" });
  expect(endpoints).toEqual([{ host: "127.0.0.1", port: 4143, identity, weight: 1, attributes: { protocol: "h2" } }]);
});

test("endpoints that a file lists have the service's identity, and it is found from the configuration's directory", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "selvage-source-"));
  try {
    writeFileSync(join(cwd, "endpoints.json"), '["10.0.0.1:4143"]');
    const endpoints = await firstOf({ endpoints: { file: "endpoints.json" }, identity }, cwd);
    expect(endpoints).toEqual([{ host: "10.0.0.1", port: 4143, identity, weight: 1, attributes: { protocol: "h1" } }]);
  } finally {
    rmSync(cwd, { recursive: true });
  }
});

test("discovery that fails is logged with its authority, once for each reason", async () => {
  const { target, events } = targetOf({ endpoints: { file: "missing.json" } });
  let failures = 0;
  target.resolver.watch({ onUpdate() {}, onFailure: () => failures++ }).close();
  expect([failures, events]).toEqual([1, ['discovery.failed "inventory.shop"']]);
});

test("the own zone is preferred, unless that is switched off", () => {
  const endpoints = ["10.0.0.1:1"];
  const rest = { workload: { zone: "a" } };
  expect(targetOf({ endpoints }, rest).target.balancing?.zone).toBe("a");
  expect(targetOf({ endpoints, balancer: { zones: "ignore" } }, rest).target.balancing?.zone).toBe(null);
  expect(targetOf({ endpoints }).target.balancing?.zone).toBe(null);
});

test("what the configuration says of retries and panic reaches the target", () => {
  const { target } = targetOf({
    endpoints: ["10.0.0.1:1"],
    retry: { grpcStatuses: [14], maxReplayBytes: 10 },
    balancer: { panicRatio: 1 },
  });
  expect(target.balancing?.panicRatio).toBe(1);
  expect(target.fallback?.retry.maxReplayBytes).toBe(10);
  expect([...target.fallback!.retry.retriesGrpcStatus].indexOf(1)).toBe(14);
});

test("what has routes needs no endpoints of its own; what no route matches then has none", () => {
  const { source } = sourceOf({
    outbound: { services: { "a.shop": { routes: [{ backends: [{ service: "b.shop" }] }] }, "b.shop": {} } },
  });
  expect(source("a.shop", "http")).toMatchObject({ fallback: null, routes: [{ name: "/*" }] });
  expect(source("b.shop", "http")).toBeNull();
});

test("routes of a file are read again for who watches them; a bad file leaves the last good ones in force", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "selvage-source-"));
  try {
    const write = (text: string) => writeFileSync(join(cwd, "routes.yaml"), text);
    write("[{ name: first }]");
    const routes = { file: "routes.yaml" };
    const { target, events } = targetOf({ endpoints: ["10.0.0.1:1"], routes }, {}, cwd);
    expect(target.routes.map(({ name }) => name)).toEqual(["first"]);
    // What changed before anybody watched is not missed.
    write("[{ name: second, timeout: 1s }]");
    const seen: string[][] = [];
    const told = () => new Promise<void>((resolve) => (tell = resolve));
    let tell = () => {};
    const watch = target.watchRoutes!((next) => {
      seen.push(next.map(({ name }) => name));
      tell();
    });
    expect(seen).toEqual([["second"]]);
    write("[{ name: third }, { name: third }]");
    await expect.poll(() => events.length).toBe(1);
    expect(events[0]).toContain("routes.rejected");
    const third = told();
    write("[{ name: third }]");
    await third;
    expect(seen).toEqual([["second"], ["third"]]);
    watch.close();
  } finally {
    rmSync(cwd, { recursive: true });
  }
});
