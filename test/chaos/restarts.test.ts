import { afterEach, describe, expect, test } from "vitest";
import { failureCounts } from "./load.js";
import { cellNames, MeshedCell } from "./meshed-cell.js";
import type { Replica } from "./replica-process.js";
import { record, successOf } from "./results.js";
import { type Protocol, protocols } from "./senders.js";

/** More take longer: `CHAOS_RESTARTS=50 CHAOS_RATE=2000 CHAOS_SECONDS=150 npm run chaos -- restarts`. */
const restarts = Number(process.env["CHAOS_RESTARTS"] ?? 5);
const replicas = Number(process.env["CHAOS_REPLICAS"] ?? 3);
/** After which no more are begun. */
const mostSeconds = Number(process.env["CHAOS_SECONDS"] ?? 90);

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

describe.each(protocols)("rolling restarts, %s", (protocol) => {
  test.each(cellNames)("%s", { timeout: (mostSeconds + 90) * 1_000 }, async (name) => {
    cell = await MeshedCell.start(name);
    const running = await cell.start(replicas, { protocol, run: true });
    const caller = await cell.caller({ protocol });
    const perSecond = await caller.calmRate(500);
    const calm = await caller.drive(perSecond, 2);
    const load = caller.drive(perSecond, mostSeconds + 60);
    const beganAt = performance.now();
    const done = await roll(cell, running, protocol);
    const seconds = Math.round((performance.now() - beganAt) / 1_000);
    caller.stop();
    const report = await load;
    const twice = cell.processedTwice();
    record(`rolling restarts, ${protocol}, ${name}`, {
      offered: `${perSecond}/s, half of them POST (gRPC: streams), ${replicas} replicas`,
      restarts: done,
      seconds,
      requests: report.sent,
      failed: report.failed,
      failures: failureCounts(report.failures),
      failedSentAtMs: report.failures.slice(0, 20).map(({ sentAtMs }) => sentAtMs),
      success: successOf(report),
      processedTwice: twice.length,
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      maxMs: report.maxMs,
      withoutRestarts: { p50Ms: calm.p50Ms, p99Ms: calm.p99Ms, failed: calm.failed },
    });
    expect(failureCounts(report.failures)).toEqual({});
    expect(twice).toEqual([]);
    // On a machine that is busy with other things, processes take long to start.
    expect(done).toBeGreaterThan(0);
  });
});

/** Replaces one replica after the other by a fresh one. Returns how many. */
async function roll(cell: MeshedCell, running: Replica[], protocol: Protocol): Promise<number> {
  const endsAt = performance.now() + mostSeconds * 1_000;
  const ended: Promise<unknown>[] = [];
  while (ended.length < restarts && performance.now() < endsAt) {
    const fresh = await cell.replica({ protocol, run: true });
    const old = running.shift()!;
    running.push(fresh);
    old.signal("SIGTERM");
    ended.push(old.exited);
  }
  await Promise.all(ended);
  return ended.length;
}
