import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMesh } from "@selvage/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { call } from "./client.js";
import { calmRate, drive } from "./load.js";
import { bundle, endPrograms, Program, processedIn } from "./program.js";
import type { Serving } from "./replica.js";
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

async function replicas(count: number): Promise<Program[]> {
  const all = Array.from(
    { length: count },
    (_, i) =>
      new Program("replica", ["sdk", "app"], { SELVAGE_STATE_DIR: stateDir, CHAOS_LOG: join(stateDir, `log${i}`) }),
  );
  await Promise.all(all.map((program) => program.message<Serving>()));
  return all;
}

test("kill -9: safe requests don't notice, and nothing is processed twice that may not be", async () => {
  const programs = await replicas(3);
  const mesh = await createMesh({ workload: { name: "caller" }, stateDir, admin: false, log() {} });
  try {
    const one = (i: number) =>
      call({ agent: mesh.agent, authority: "app", path: `/?id=${i}`, method: i % 2 === 0 ? "GET" : "POST", body: "" });
    const perSecond = await calmRate(500, one);
    setTimeout(() => programs[0]!.signal("SIGKILL"), 1_500);
    const report = await drive({ perSecond, seconds: 5, send: one });
    const posts = report.failed.filter((i) => i % 2 === 1);
    const counts = processedIn(programs.map((_, i) => join(stateDir, `log${i}`)));
    const twice = [...counts].filter(([id, count]) => count > 1 && Number(id) % 2 === 1);
    record("kill -9", {
      offered: `${perSecond}/s for 5 s, half of them POST; one of 3 replicas killed`,
      requests: report.sent,
      failedGets: report.failed.length - posts.length,
      failedPosts: posts.length,
      postsProcessedTwice: twice.length,
      success: percent(report.successRate),
      failures: report.failures,
    });
    expect(report.failed.length - posts.length).toBe(0);
    expect(twice).toEqual([]);
    // What was on its way to the one that died can't be known to have had no effect.
    expect(posts.length).toBeLessThan(20);
  } finally {
    await mesh.close();
  }
});
