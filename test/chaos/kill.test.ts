import { afterEach, expect, test } from "vitest";
import { failureCounts } from "./load.js";
import { cellNames, MeshedCell } from "./meshed-cell.js";
import { record, successOf } from "./results.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

test.each(cellNames)(
  "kill -9: safe requests don't notice, and nothing is processed twice that may not be, %s",
  async (name) => {
    cell = await MeshedCell.start(name);
    const [first] = await cell.start(3);
    const caller = await cell.caller();
    const perSecond = await caller.calmRate(500);
    setTimeout(() => first!.signal("SIGKILL"), 1_500);
    const report = await caller.drive(perSecond, 5);
    const posts = report.failures.filter(({ i }) => i % 2 === 1).length;
    const twice = cell.processedTwice();
    record(`kill -9, ${name}`, {
      offered: `${perSecond}/s for 5 s, half of them POST; one of 3 replicas killed`,
      requests: report.sent,
      failedGets: report.failed - posts,
      failedPosts: posts,
      processedTwice: twice.length,
      success: successOf(report),
      failures: failureCounts(report.failures),
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
    });
    expect(report.failed - posts).toBe(0);
    expect(twice).toEqual([]);
    // What was on its way to the one that died can't be known to have had no effect.
    expect(posts).toBeLessThan(20);
  },
);
