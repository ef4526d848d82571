import { setTimeout as later } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { failureCounts } from "./load.js";
import { listed, MeshedCell, pureCellNames } from "./meshed-cell.js";
import { freePort, type Replica } from "./replica-process.js";
import { record, successOf } from "./results.js";
import { WallClock } from "./wall-clock.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

const authority = "app.test";
const hour = 3600;
const zero = { env: {} };

type Who = "caller" | "replicas" | "everyone";

/** An hour is beyond what certificates allow, which begin a minute before they are issued; less than a minute isn't. */
const jumps: readonly (readonly [Who, number])[] = [
  ["caller", +hour],
  ["caller", -hour],
  ["replicas", +hour],
  ["replicas", -hour],
  ["everyone", +hour],
  ["everyone", -hour],
  ["caller", -50],
  ["replicas", +50],
];

interface Clocks {
  readonly ofCaller: WallClock | typeof zero;
  readonly ofReplicas: WallClock | typeof zero;
  jumpTo(seconds: number): void;
}

function clocksOf(who: Who, directory: string): Clocks | null {
  const clock = WallClock.create(directory, who);
  if (clock === null) return null;
  return {
    ofCaller: who === "replicas" ? zero : clock,
    ofReplicas: who === "caller" ? zero : clock,
    jumpTo: (seconds) => clock.jumpTo(seconds),
  };
}

function shown(seconds: number): string {
  const sign = seconds < 0 ? "-" : "+";
  return Math.abs(seconds) === hour ? `${sign}1 h` : `${sign}${Math.abs(seconds)} s`;
}

describe.each(pureCellNames)("%s", (name) => {
  test.for(jumps)("the clock of %s jumps by %i s and back, and a replica is replaced", async ([who, by], context) => {
    cell = await MeshedCell.start(name);
    const clocks = clocksOf(who, cell.stateDir);
    if (clocks === null) return context.skip("libfaketime isn't installed");
    const { env } = clocks.ofReplicas;
    const ports = [await freePort(), await freePort()];
    const [, old] = await Promise.all(ports.map((port) => cell!.replica({ port, env })));
    const service = listed(ports.map((port) => ({ address: `127.0.0.1:${port}` })));
    const options = { authority, env: clocks.ofCaller.env, outbound: { services: { [authority]: service } } };
    const caller = await cell.caller(options);
    const perSecond = await caller.calmRate(300);
    let fresh: Replica | null = null;
    const events = (async () => {
      await later(1_000);
      clocks.jumpTo(by);
      await later(2_000);
      old!.signal("SIGTERM");
      await old!.exited;
      fresh = await cell!.replica({ port: ports[1]!, env });
      await later(3_000);
      const reached = await fresh.requests();
      clocks.jumpTo(0);
      await later(4_000);
      return { reached, reachedAfter: (await fresh.requests()) - reached };
    })();
    const load = caller.drive(perSecond, 60);
    const { reached, reachedAfter } = await events;
    caller.stop();
    const report = await load;
    const twice = cell.processedTwice();
    record(`clock, ${who} ${shown(by)}, ${name}`, {
      offered: `${perSecond}/s, half of them POST; 2 replicas, one of them replaced while the clock is wrong`,
      requests: report.sent,
      failed: report.failed,
      failures: failureCounts(report.failures),
      success: successOf(report),
      reachedTheFreshOne: { clockWrong: reached, clockRight: reachedAfter },
      processedTwice: twice.length,
      p99Ms: report.p99Ms,
    });
    expect(failureCounts(report.failures)).toEqual({});
    expect(twice).toEqual([]);
    expect(reachedAfter).toBeGreaterThan(0);
    if (Math.abs(by) < 60) expect(reached).toBeGreaterThan(0);
  });
});
