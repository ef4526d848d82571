import { setTimeout as later } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { failureCounts } from "./load.js";
import { type CellName, cellNames, MeshedCell } from "./meshed-cell.js";
import type { Replica } from "./replica-process.js";
import { record, successOf } from "./results.js";
import { WallClock } from "./wall-clock.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

const hour = 3600;
const none: Readonly<Record<string, string>> = {};

type Who = "caller" | "replicas" | "everyone";

/** Within a minute, by which certificates begin earlier than they are issued, a fresh replica is believed at once. */
const jumps: readonly (readonly [Who, number, "believed" | "not believed"])[] = [
  ["caller", +hour, "believed"],
  ["caller", -hour, "not believed"],
  ["replicas", +hour, "not believed"],
  ["replicas", -hour, "not believed"],
  ["everyone", +hour, "believed"],
  // Who holds a certificate from before has one of the future now.
  ["everyone", -hour, "not believed"],
  ["caller", -50, "believed"],
  ["replicas", +50, "believed"],
];

function shown(seconds: number): string {
  const sign = seconds < 0 ? "-" : "+";
  return Math.abs(seconds) === hour ? `${sign}1 h` : `${sign}${Math.abs(seconds)} s`;
}

interface Clocks {
  readonly caller: Readonly<Record<string, string>>;
  readonly replicas: Readonly<Record<string, string>>;
  jumpTo(seconds: number): void;
}

/** `null`: libfaketime isn't installed. */
async function begin(name: CellName, who: Who): Promise<Clocks | null> {
  cell = await MeshedCell.start(name);
  const clock = WallClock.create(cell.stateDir, who);
  const past = WallClock.create(cell.stateDir, "past");
  if (clock === null || past === null) return null;
  // The development authority is older than the jump, as authorities are.
  past.jumpTo(-2 * hour);
  const first = await cell.replica({ env: past.env });
  await first.stop();
  return {
    caller: who === "replicas" ? none : clock.env,
    replicas: who === "caller" ? none : clock.env,
    jumpTo: (seconds) => clock.jumpTo(seconds),
  };
}

async function replace(old: Replica, env: Readonly<Record<string, string>>): Promise<Replica> {
  const fresh = await cell!.replica({ env });
  await old.stop();
  return fresh;
}

describe.each(cellNames)("%s", (name) => {
  test.for(jumps)("the clock of %s jumps by %i s and back; a replica is replaced: it is %s", async (jump, context) => {
    const [who, by, fate] = jump;
    const clocks = await begin(name, who);
    if (clocks === null) return context.skip("libfaketime isn't installed");
    const [, old] = await cell!.start(2, { env: clocks.replicas });
    // The one that has just gone and the one that isn't believed are tried both, in the worst case.
    const outbound = { defaults: { retry: { limit: 2 } } };
    const caller = await cell!.caller({ env: clocks.caller, outbound });
    const perSecond = await caller.calmRate(300);
    const load = caller.drive(perSecond, 60);
    await later(500);
    clocks.jumpTo(by);
    await later(1_500);
    const fresh = await replace(old!, clocks.replicas);
    await later(2_000);
    const reached = await fresh.requests();
    clocks.jumpTo(0);
    await later(2_000);
    caller.stop();
    const report = await load;
    const twice = cell!.processedTwice();
    record(`clock, ${who} ${shown(by)}, ${name}`, {
      offered: `${perSecond}/s, half of them POST; 2 replicas, one of them replaced while the clock is wrong`,
      requests: report.sent,
      failed: report.failed,
      failures: failureCounts(report.failures),
      success: successOf(report),
      reachedTheFreshOne: reached,
      processedTwice: twice.length,
      p99Ms: report.p99Ms,
    });
    expect(failureCounts(report.failures)).toEqual({});
    expect(twice).toEqual([]);
    expect(reached > 0 ? "believed" : "not believed").toBe(fate);
  });

  test("the caller's clock is an hour slow, and every replica is replaced", async (context) => {
    const clocks = await begin(name, "caller");
    if (clocks === null) return context.skip("libfaketime isn't installed");
    const [a, b] = await cell!.start(2);
    const caller = await cell!.caller({ env: clocks.caller });
    const perSecond = await caller.calmRate(200);
    const load = caller.drive(perSecond, 60);
    await later(500);
    clocks.jumpTo(-hour);
    await later(1_500);
    await Promise.all([replace(a!, none), replace(b!, none)]);
    await later(3_000);
    clocks.jumpTo(0);
    const rightAt = performance.now();
    await later(8_000);
    caller.stop();
    const report = await load;
    const endedAgoMs = performance.now() - rightAt;
    const lastFailure = report.failures.at(-1)?.sentAtMs ?? 0;
    const totalMs = (report.sent / perSecond) * 1_000;
    record(`clock, caller -1 h, every replica replaced, ${name}`, {
      offered: `${perSecond}/s, half of them POST; both replicas replaced while the clock is wrong`,
      requests: report.sent,
      failed: report.failed,
      failures: failureCounts(report.failures),
      success: successOf(report),
      lastFailureAfterTheClockWasRightMs: Math.round(lastFailure - (totalMs - endedAgoMs)),
      processedTwice: cell!.processedTwice().length,
    });
    expect(cell!.processedTwice()).toEqual([]);
    // It is well again by itself.
    expect(totalMs - lastFailure).toBeGreaterThan(1_000);
  });
});
