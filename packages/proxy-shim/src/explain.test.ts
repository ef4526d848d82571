import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MeshRuntime } from "@selvage/core/spi";
import { afterAll, beforeAll, expect, test } from "vitest";
import { explain } from "./explain.js";

let stateDir: string;
let runtime: MeshRuntime;

beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "explain-"));
  runtime = await MeshRuntime.start({
    log() {},
    options: {
      stateDir,
      workload: { name: "caller", zone: "a" },
      admin: { port: 0 },
      outbound: {
        services: {
          "cart.shop": {
            endpoints: ["10.0.0.1:80"],
            routes: [
              {
                name: "canary",
                match: { path: "/cart/*" },
                filters: {
                  rewrite: { prefix: "/v2", hostname: "cart.internal" },
                  requestHeaders: { set: { authorization: "secret" }, remove: ["x-debug"] },
                  mirror: { service: "next.shop", ratio: 0.05 },
                },
                backends: [
                  { service: "inventory.shop", weight: 9 },
                  { service: "next.shop", weight: 1 },
                ],
                overrides: true,
                retry: { limit: 0 },
              },
              { name: "old", match: { path: "/old/*" }, filters: { redirect: { prefix: "/cart", status: 301 } } },
            ],
          },
          "next.shop": { endpoints: ["10.0.0.3:80"] },
          "inventory.shop": {
            identity: "spiffe://dev.selvage/ns/shop/sa/inventory",
            endpoints: [
              { address: "10.0.0.1:4143", zone: "a" },
              { address: "10.0.0.12:4143", zone: "b", weight: 2 },
            ],
            routes: [
              {
                name: "items",
                match: { path: "/items/*", method: "GET" },
                timeout: "800ms",
                retry: { limit: 2, perTryTimeout: "300ms" },
              },
              {
                name: "flaky",
                match: { path: "/flaky" },
                fault: { delay: { duration: "200ms", ratio: 0.125 }, abort: {} },
              },
            ],
          },
        },
      },
    },
  });
});

afterAll(async () => {
  await runtime.close();
  rmSync(stateDir, { recursive: true });
});

async function asked(method: string, url: string, more: object = {}) {
  let text = "";
  const status = await explain({
    method,
    url,
    admin: runtime.adminAddress!,
    write: (part) => {
      text += part;
    },
    ...more,
  });
  return { status, text };
}

test("a call is explained to people", async () => {
  const { status, text } = await asked("get", "http://inventory.shop/items/7");
  // Load decays while nobody looks.
  expect(text.replaceAll(/load [\d.]+ +/g, "load n  ")).toBe(`GET http://inventory.shop/items/7

service    inventory.shop
identity   spiffe://dev.selvage/ns/shop/sa/inventory
route      items
timeout    800 ms for everything
attempts   1  at once, 300 ms to answer
           2  25 to 50 ms after the one before failed, 300 ms to answer
           3  50 to 100 ms after the one before failed, 300 ms to answer
repeated   what did not reach the endpoint (at once, free of budget), or was refused by it unprocessed
           statuses 502, 503, 504
           a connection that broke, or an attempt's time that was over
           bodies up to 64 KiB only
budget     100 retries now (10 a second, and one for 5 calls that need none)
endpoints  2 of 2 available; zone a is preferred
           10.0.0.1:4143   available  load n  0 in flight  0 of 0 failed  zone a            never connected
           10.0.0.12:4143  available  load n  0 in flight  0 of 0 failed  zone b  weight 2  never connected
`);
  expect(status).toBe(0);
});

test("faults that its route injects are said", async () => {
  const { text } = await asked("GET", "inventory.shop/flaky");
  expect(text).toContain(
    "route      flaky\nfault      injected: 12.5 % wait 200 ms, all get 503 (gRPC 14)\ntimeout    none\n",
  );
});

test("what may not be repeated is said, and other routes", async () => {
  const { text } = await asked("POST", "inventory.shop/orders");
  expect(text).toContain("route      default\ntimeout    none\n");
  expect(text).toContain("nothing else: POST may have been acted on");
  const keyed = await asked("POST", "inventory.shop/orders", { header: ["Idempotency-Key: 1"] });
  expect(keyed.text).toContain("statuses 502, 503, 504");
});

test("what would fail is told by the exit status too", async () => {
  const { status, text } = await asked("GET", "http://10.1.2.3/");
  expect(status).toBe(1);
  expect(text).toContain("problem    egress to http://10.1.2.3 is not allowed: add it to outbound.egress.allow");
});

test("filters, backends and what the caller may override are said, without the values of headers", async () => {
  const { status, text } = await asked("GET", "http://cart.shop/cart/7?x", { header: ["l5d-timeout: 1s"] });
  expect(text.replaceAll(/load [\d.]+ +/g, "load n  ")).toBe(`GET http://cart.shop/cart/7?x

service    cart.shop
route      canary
filters    the host becomes cart.internal
           the path becomes /v2/7?x
           request headers: sets authorization; removes x-debug
           copied to next.shop: 5 %
overrides  the caller may set timeout and retries by l5d- headers
timeout    1 s for everything
attempts   1  at once
repeated   never: retries are off
backends   90 %  inventory.shop; 100 retries now
endpoints  2 of 2 available; zone a is preferred
           10.0.0.1:4143   available  load n  0 in flight  0 of 0 failed  zone a            never connected
           10.0.0.12:4143  available  load n  0 in flight  0 of 0 failed  zone b  weight 2  never connected
           10 %  next.shop; 100 retries now
endpoints  1 of 1 available; zone a is preferred
           10.0.0.3:80  available  load n  0 in flight  0 of 0 failed  plain
`);
  expect(status).toBe(0);
});

test("a redirect is said, with where it leads", async () => {
  const { status, text } = await asked("GET", "http://cart.shop/old/7?x");
  expect(text).toBe(`GET http://cart.shop/old/7?x

service    cart.shop
route      old
redirect   301 to http://cart.shop/cart/7?x
`);
  expect(status).toBe(0);
});

test("the same as JSON", async () => {
  const { text } = await asked("GET", "http://inventory.shop/items/7", { json: true });
  expect(JSON.parse(text)).toMatchObject({ route: { name: "items", timeoutMs: 800 }, zone: "a" });
});

test("questions that can't be answered say why", async () => {
  await expect(asked("GET", "http://a:b:c")).rejects.toThrow('url must be a URL, got "http://a:b:c"');
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await expect(asked("GET", "http://a/", { admin: `127.0.0.1:${port}` })).rejects.toThrow(
    `can't ask http://127.0.0.1:${port} (ECONNREFUSED); start the workload, or give its admin port by --admin`,
  );
});
