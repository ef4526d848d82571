import { setTimeout as later } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { cellNames, listed, MeshedCell } from "./meshed-cell.js";
import type { Behaviour } from "./replica.js";
import type { Replica } from "./replica-process.js";
import { record, seen, successOf } from "./results.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

const authority = "app.test";

async function processed(replicas: readonly Replica[]): Promise<number> {
  const counts = await Promise.all(replicas.map((replica) => replica.requests()));
  return counts.reduce((sum, one) => sum + one, 0);
}

describe.each(cellNames)("retries in an outage, %s", (name) => {
  /** The budget is 20 % of what went well in the 10 s before, and may be spent at once: over less than that time retries are more than the bar. */
  const beforeSeconds = 11;
  const seconds = 12;
  const earlySeconds = 2;

  test.each<[string, (Behaviour | null)[]]>([
    ["every replica answers 503", [{ status: 503 }, { status: 503 }, { status: 503 }]],
    ["every replica resets connections", [{ reset: true }, { reset: true }, { reset: true }]],
    ["two replicas of three answer 503", [{ status: 503 }, { status: 503 }, null]],
  ])("%s", async (what, behaviours) => {
    cell = await MeshedCell.start(name);
    const replicas = await cell.start(3);
    const service = { ...listed(replicas), retry: { limit: 3 } };
    const caller = await cell.caller({ authority, safeOnly: true, outbound: { services: { [authority]: service } } });
    const perSecond = await caller.calmRate(500);
    // Else the many calls that have found out the rate would be in the budget.
    await caller.drive(perSecond, beforeSeconds);
    for (const [i, behaviour] of behaviours.entries()) if (behaviour !== null) await replicas[i]!.behave(behaviour);
    const before = await processed(replicas);
    const load = caller.drive(perSecond, seconds);
    await later(earlySeconds * 1_000);
    const early = (await processed(replicas)) - before;
    const report = await load;
    const reached = (await processed(replicas)) - before;
    record(`retries, ${what}, ${name}`, {
      offered: `${perSecond}/s for ${seconds} s, and for ${beforeSeconds} s before, 3 retries allowed each`,
      requests: report.sent,
      reachedReplicas: reached,
      amplification: Math.round((reached / report.sent) * 1000) / 1000,
      amplificationInTheFirst2s: Math.round((early / (earlySeconds * perSecond)) * 1000) / 1000,
      success: successOf(report),
    });
    expect(reached).toBeLessThanOrEqual(1.2 * report.sent + 10 * seconds);
  });
});

test.each(cellNames)("one app of three resets every connection, %s", async (name) => {
  cell = await MeshedCell.start(name);
  const replicas = await cell.start(3);
  const caller = await cell.caller({ authority, outbound: { services: { [authority]: listed(replicas) } } });
  const perSecond = await caller.calmRate(500);
  await replicas[0]!.behave({ reset: true });
  const report = await caller.drive(perSecond, 5);
  const result = seen(report, cell.processedTwice());
  record(`an app resets connections, ${name}`, {
    offered: `${perSecond}/s for 5 s, half of them POST; one of 3 apps resets every connection`,
    ...result,
  });
  expect(result.failedGets).toBe(0);
  expect(result.processedTwice).toBe(0);
  // Seven failures eject it, and each probe may cost one more.
  expect(result.failedPosts).toBeLessThan(25);
});
