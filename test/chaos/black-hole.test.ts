import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMesh, type Mesh } from "@selvage/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { call } from "./client.js";
import { calmRate, drive } from "./load.js";
import { bundle, endPrograms, Program, processedIn } from "./program.js";
import type { Serving } from "./replica.js";
import { percent, record } from "./results.js";

let stateDir = "";
let ends: (() => unknown)[] = [];

beforeEach(async () => {
  await bundle();
  stateDir = mkdtempSync(join(tmpdir(), "chaos-"));
  ends = [];
});

afterEach(async () => {
  for (const end of ends.reverse()) await end();
  await endPrograms();
  rmSync(stateDir, { recursive: true, force: true });
});

const authority = "app.test";
const identity = "spiffe://dev.selvage/ns/default/sa/app";

/** Replicas with the library, and where they are. */
async function meshed(count: number): Promise<{ readonly programs: Program[]; readonly ports: number[] }> {
  const programs = Array.from(
    { length: count },
    (_, i) =>
      new Program("replica", ["sdk", "app"], { SELVAGE_STATE_DIR: stateDir, CHAOS_LOG: join(stateDir, `log${i}`) }),
  );
  const serving = await Promise.all(programs.map((program) => program.message<Serving>()));
  return { programs, ports: serving.map(({ ports }) => ports[0]!) };
}

async function caller(ports: readonly number[]): Promise<Mesh> {
  const mesh = await createMesh({
    workload: { name: "caller" },
    stateDir,
    admin: false,
    outbound: {
      services: {
        [authority]: {
          identity,
          endpoints: ports.map((port) => `127.0.0.1:${port}`),
          timeout: "3s",
          connectTimeout: "500ms",
          retry: { limit: 2, perTryTimeout: "700ms" },
        },
      },
    },
    log() {},
  });
  ends.push(() => mesh.close());
  return mesh;
}

function sender(mesh: Mesh) {
  return (i: number) =>
    call({ agent: mesh.agent, authority, path: `/?id=${i}`, method: i % 2 === 0 ? "GET" : "POST", body: "" });
}

function twiceIn(count: number): number {
  const counts = processedIn(Array.from({ length: count }, (_, i) => join(stateDir, `log${i}`)));
  return [...counts].filter(([id, times]) => times > 1 && Number(id) % 2 === 1).length;
}

/** A port that accepts and says nothing. */
async function silentPort(): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

/** A port that doesn't even answer a SYN: its process is stopped, and its queue of connections is full. `null`: can't be made here. */
async function blackHole(): Promise<number | null> {
  const program = `require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () { console.log(this.address().port) })`;
  const child: ChildProcess = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  ends.push(() => child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) =>
    child.stdout!.once("data", (text: Buffer) => resolve(Number(text.toString()))),
  );
  child.kill("SIGSTOP");
  for (let i = 0; i < 10; i++) {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    ends.push(() => socket.destroy());
    const open = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      setTimeout(() => resolve(false), 300);
    });
    if (!open) return port;
  }
  return null;
}

test.each([
  ["a replica accepts connections and says nothing", silentPort],
  ["a replica answers no SYN", blackHole],
])("%s", async (name, makePort) => {
  const { ports } = await meshed(2);
  const dead = await makePort();
  if (dead === null) return;
  const send = sender(await caller([...ports, dead]));
  const perSecond = await calmRate(500, send);
  const report = await drive({ perSecond, seconds: 5, send });
  record(`black hole, ${name}`, {
    offered: `${perSecond}/s for 5 s, half of them POST; the others of 3 replicas are well`,
    requests: report.sent,
    failed: report.failed.length,
    failures: report.failures,
    success: percent(report.successRate),
    p50Ms: report.quantile(0.5),
    p99Ms: report.quantile(0.99),
    postsProcessedTwice: twiceIn(2),
  });
  // Nothing was sent there, so that everything may go elsewhere.
  expect(report.failures).toEqual({});
  expect(twiceIn(2)).toBe(0);
});

test("a replica freezes with open connections, and comes back", async () => {
  const { programs, ports } = await meshed(3);
  const send = sender(await caller(ports));
  const perSecond = await calmRate(500, send);
  const frozen = programs[0]!;
  setTimeout(() => frozen.signal("SIGSTOP"), 1_000);
  setTimeout(() => frozen.signal("SIGCONT"), 5_000);
  const report = await drive({ perSecond, seconds: 8, send });
  const gets = report.failed.filter((i) => i % 2 === 0);
  const [late = 0] = await frozen.ask<number[]>("requests");
  record("frozen replica", {
    offered: `${perSecond}/s for 8 s, half of them POST; one of 3 replicas stopped from 1 s to 5 s`,
    requests: report.sent,
    failedGets: gets.length,
    failedPosts: report.failed.length - gets.length,
    failures: report.failures,
    success: percent(report.successRate),
    p99Ms: report.quantile(0.99),
    postsProcessedTwice: twiceIn(3),
  });
  expect(late).toBeGreaterThan(0);
  expect(gets).toEqual([]);
  expect(twiceIn(3)).toBe(0);
  expect(report.successRate).toBeGreaterThan(0.95);
});
