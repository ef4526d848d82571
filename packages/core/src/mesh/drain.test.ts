import { mkdtempSync, rmSync } from "node:fs";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { MeshOptions } from "../config/options.js";
import { createMesh, type Mesh } from "./mesh.js";

let stateDir = "";
let meshes: Mesh[] = [];

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "selvage-drain-"));
  meshes = [];
});

afterEach(async () => {
  for (const mesh of meshes) await mesh.close();
  rmSync(stateDir, { recursive: true, force: true });
});

async function joinMesh(name: string, drain: MeshOptions["drain"]): Promise<Mesh> {
  const mesh = await createMesh({ workload: { name }, stateDir, drain, log() {} });
  meshes.push(mesh);
  return mesh;
}

async function serve(mesh: Mesh, listener: RequestListener): Promise<number> {
  const server = mesh.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** Something that happens once, and can be waited for. */
function moment(): { readonly come: Promise<void>; readonly now: () => void } {
  let now = () => {};
  const come = new Promise<void>((resolve) => {
    now = resolve;
  });
  return { come, now };
}

test("a workload that closes finishes what it has, whose handlers can still call others, and takes nothing new", async () => {
  const inventory = await joinMesh("inventory", { timeout: "20s" });
  await serve(inventory, (_, res) => res.end("seven"));
  const store = await joinMesh("store", { timeout: "20s" });
  const arrived = moment();
  const goOn = moment();
  const port = await serve(store, async (_, res) => {
    arrived.now();
    await goOn.come;
    res.end(await (await store.fetch("http://inventory/")).text());
  });
  const caller = await joinMesh("caller", { timeout: "20s" });
  const response = caller.fetch("http://store/");
  await arrived.come;

  const closed = store.close();
  const ready = await fetch(`${store.adminAddress}/ready`);
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining("draining")]);
  await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
  goOn.now();
  expect(await (await response).text()).toBe("seven");
  await closed;
  await expect(fetch(`${store.adminAddress}/ready`)).rejects.toThrow();
});

test("one deadline covers what others sent and what the workload sent itself", async () => {
  const timeoutMs = 2_000;
  const silent = await joinMesh("silent", { timeout: "1ms" });
  const heard = moment();
  await serve(silent, () => heard.now());
  const store = await joinMesh("store", { timeout: timeoutMs });
  const arrived = moment();
  await serve(store, () => arrived.now());
  const calls = [silent.fetch("http://store/"), store.fetch("http://silent/")].map((call) => call.catch(() => {}));
  await Promise.all([arrived.come, heard.come]);

  const began = performance.now();
  await store.close();
  const tookMs = performance.now() - began;
  expect(tookMs).toBeGreaterThan(timeoutMs * 0.9);
  expect(tookMs).toBeLessThan(timeoutMs * 1.8);
  await silent.close();
  await Promise.all(calls);
});
