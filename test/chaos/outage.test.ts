import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMesh, type MeshOptions } from "@selvage/core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { call } from "./client.js";
import { calmRate, drive } from "./load.js";
import { bundle, endPrograms, Program, processedIn } from "./program.js";
import type { Behaviour, Serving } from "./replica.js";
import { percent, record } from "./results.js";

let stateDir = "";

beforeEach(async () => {
  await bundle();
  stateDir = mkdtempSync(join(tmpdir(), "chaos-"));
});

afterEach(async () => {
  await endPrograms();
  rmSync(stateDir, { recursive: true, force: true });
});

const authority = "app.test";

async function plainReplicas(count: number, outbound: MeshOptions["outbound"] & object) {
  const log = join(stateDir, "log");
  const program = new Program("replica", ["app", String(count)], { CHAOS_LOG: log });
  const { ports } = await program.message<Serving>();
  const [service = {}] = Object.values(outbound.services ?? {});
  const mesh = await createMesh({
    workload: { name: "caller" },
    stateDir,
    admin: false,
    outbound: {
      ...outbound,
      services: { [authority]: { ...service, endpoints: ports.map((port) => `127.0.0.1:${port}`) } },
    },
    log() {},
  });
  const processed = async () => (await program.ask<number[]>("requests")).reduce((sum, one) => sum + one, 0);
  return { program, mesh, log, processed };
}

describe("retries in an outage", () => {
  const seconds = 5;

  test.each<[string, Behaviour[]]>([
    ["every replica answers 503", [{ status: 503 }]],
    ["every replica resets connections", [{ reset: true }]],
    ["two replicas of three answer 503", [{ status: 503 }, { only: 2 }]],
  ])("%s", async (name, behaviours) => {
    const service = { retry: { limit: 3 } };
    const { program, mesh, processed } = await plainReplicas(3, { services: { [authority]: service } });
    const send = (i: number) => call({ agent: mesh.agent, authority, path: `/?id=${i}` });
    try {
      const perSecond = await calmRate(500, send);
      for (const behaviour of behaviours) await program.ask({ ...behaviour });
      const before = await processed();
      const report = await drive({ perSecond, seconds, send });
      const reached = (await processed()) - before;
      const bound = 1.2 * report.sent + 10 * seconds;
      record(`retries, ${name}`, {
        offered: `${perSecond}/s for ${seconds} s, 3 retries allowed each`,
        requests: report.sent,
        reachedReplicas: reached,
        amplification: Math.round((reached / report.sent) * 1000) / 1000,
        success: percent(report.successRate),
      });
      // The reserve of the budget's 10 s may be spent at once.
      expect(reached).toBeLessThanOrEqual(bound + 10 * (10 - seconds));
    } finally {
      await mesh.close();
    }
  });
});

test("reset storm: one replica of three resets every connection", async () => {
  const { program, mesh, log } = await plainReplicas(3, {});
  try {
    const one = (i: number) =>
      call({ agent: mesh.agent, authority, path: `/?id=${i}`, method: i % 2 === 0 ? "GET" : "POST", body: "" });
    const perSecond = await calmRate(500, one);
    await program.ask({ only: 0, reset: true });
    const report = await drive({ perSecond, seconds: 5, send: one });
    const gets = report.failed.filter((i) => i % 2 === 0).length;
    const counts = processedIn([log]);
    const twice = [...counts].filter(([id, count]) => count > 1 && Number(id) % 2 === 1);
    record("reset storm", {
      offered: `${perSecond}/s for 5 s, half of them POST; one of 3 replicas resets every connection`,
      requests: report.sent,
      failedGets: gets,
      failedPosts: report.failed.length - gets,
      postsProcessedTwice: twice.length,
      success: percent(report.successRate),
    });
    expect(gets).toBe(0);
    expect(twice).toEqual([]);
    // Seven failures eject it, and each probe may cost one more.
    expect(report.failed.length - gets).toBeLessThan(25);
  } finally {
    await mesh.close();
  }
});
