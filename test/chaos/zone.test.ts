import { setTimeout as later } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { freePort, type Replica } from "./replica-process.js";
import { percent, record, seen } from "./results.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

const authority = "app.test";
const limits = { timeout: "3s", retry: { limit: 2, perTryTimeout: "700ms" } };
/** A failure counts as a latency of 5 s, which is forgotten so slowly; with the default of 10 s it takes five times as long. */
const decay = "2s";

describe.each(cellNames)("%s", (name) => {
  test.each(["killed", "frozen"] as const)("the caller's own zone is %s, and comes back", async (how) => {
    cell = await MeshedCell.start(name);
    const ports = [await freePort(), await freePort()];
    let near = await Promise.all(ports.map((port) => cell!.replica({ port })));
    const far = await cell.start(2);
    const service = {
      ...listed([...near, ...far], ["eu-1a", "eu-1a", "eu-1b", "eu-1b"]),
      ...limits,
      balancer: { decay },
    };
    const options = { authority, zone: "eu-1a", outbound: { services: { [authority]: service } } };
    const caller = await cell.caller(options);
    const perSecond = await caller.calmRate(500);
    /** The share of what the caller's own zone gets, in the next seconds. */
    const nearShare = async (seconds: number) => {
      const before = await Promise.all([total(near), total(far)]);
      await later(seconds * 1_000);
      const [own, other] = await Promise.all([total(near), total(far)]);
      return (own - before[0]) / (own - before[0] + (other - before[1]));
    };
    const load = caller.drive(perSecond, 150);
    const well = await nearShare(2);
    const lostAtMs = 2_000;
    for (const replica of near) replica.signal(how === "killed" ? "SIGKILL" : "SIGSTOP");
    const farBefore = await total(far);
    await later(4_000);
    const farMeanwhile = (await total(far)) - farBefore;
    if (how === "frozen") for (const replica of near) replica.signal("SIGCONT");
    else near = await Promise.all(ports.map((port) => cell!.replica({ port })));
    const backAt = performance.now();
    let back = 0;
    while (back < 0.9 && performance.now() - backAt < 90_000) back = await nearShare(2);
    const backAfterSeconds = Math.round((performance.now() - backAt) / 1_000);
    caller.stop();
    const report = await load;
    const result = seen(report, cell.processedTwice());
    record(`zone ${how}, ${name}`, {
      offered: `${perSecond}/s, half of them POST; 2 replicas in the caller's zone, 2 in another; its own is away for 4 s; balancer.decay ${decay}`,
      ...result,
      ownZone: { before: percent(well), afterwards: percent(back), backAfterSeconds },
      otherZoneMeanwhile: `${farMeanwhile} of about ${4 * perSecond}`,
      lastFailureAfterMs: Math.max(0, ...report.failures.map(({ sentAtMs }) => sentAtMs - lostAtMs)),
    });
    expect(result.failedGets).toBe(0);
    expect(result.processedTwice).toBe(0);
    expect(report.failed / report.sent).toBeLessThan(0.05);
    expect(well).toBeGreaterThan(0.9);
    expect(farMeanwhile).toBeGreaterThan(3 * perSecond);
    expect(back).toBeGreaterThan(0.9);
  });
});

async function total(replicas: readonly Replica[]): Promise<number> {
  const counts = await Promise.all(replicas.map((replica) => replica.requests()));
  return counts.reduce((sum, one) => sum + one, 0);
}
