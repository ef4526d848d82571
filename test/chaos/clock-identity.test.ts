import { setTimeout as later } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { Authority, serviceId, trustDomain } from "../conformance/authority.js";
import type { Caller } from "./caller.js";
import { failureCounts, type LoadSummary } from "./load.js";
import { cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { freePort } from "./replica-process.js";
import { record, seen } from "./results.js";
import { WallClock } from "./wall-clock.js";

let cell: MeshedCell | null = null;
afterEach(() => cell?.close());

const hour = 3600;
const authorityName = "app.test";
const perSecond = 50;
/** Renewals are due 24 s to 30 s after the start. */
const lifetime = "60s";

type Who = "identity service" | "caller";

interface Started {
  readonly authority: Authority;
  readonly caller: Caller;
  readonly clock: WallClock;
}

/** Two replicas and a caller, each with a join token, of an identity service in a process of its own. `null`: libfaketime isn't installed. */
async function begin(name: (typeof cellNames)[number], who: Who): Promise<Started | null> {
  cell = await MeshedCell.start(name);
  const clock = WallClock.create(cell.stateDir, "jumping");
  if (clock === null) return null;
  const fakedOnly = (one: Who) => (who === one ? clock.env : {});
  const authority = await Authority.start(cell.stateDir, lifetime, fakedOnly("identity service"));
  const identityOf = async (workload: string) => {
    await authority.joinToken(workload);
    const { address, token, bundle } = authority.sourceOf(workload);
    return {
      SELVAGE_WORKLOAD_NAMESPACE: "test",
      SELVAGE_WORKLOAD_TRUST_DOMAIN: trustDomain,
      SELVAGE_IDENTITY_SOURCE: "ca",
      SELVAGE_IDENTITY_ADDRESS: address,
      SELVAGE_IDENTITY_TOKEN: token,
      SELVAGE_IDENTITY_BUNDLE: bundle,
    };
  };
  const replicas = [];
  for (let i = 0; i < 2; i++) {
    const env = await identityOf("app");
    replicas.push(await cell.replica({ registers: false, port: await freePort(), env }));
  }
  const service = { ...listed(replicas), identity: serviceId("app"), retry: { limit: 2 } };
  const outbound = { services: { [authorityName]: service } };
  const env = { ...(await identityOf("caller")), ...fakedOnly("caller") };
  return { authority, clock, caller: await cell.caller({ authority: authorityName, env, outbound }) };
}

function keep(what: string, report: LoadSummary, authority: Authority): void {
  record(what, {
    offered: `${perSecond}/s, half of them POST; 2 replicas; SVIDs of ${lifetime} by join tokens`,
    ...seen(report, cell!.processedTwice()),
    firstFailureSentAtMs: report.failures[0]?.sentAtMs,
    issued: { app: authority.issuedTo("app"), caller: authority.issuedTo("caller") },
  });
}

describe.each(cellNames)("SVIDs of a minute, %s", (name) => {
  test.for([+hour, -hour, +50, -50])(
    "the identity service's clock jumps by %i s while they are renewed, and back before they end",
    async (by, context) => {
      const started = await begin(name, "identity service");
      if (started === null) return context.skip("libfaketime isn't installed");
      const { authority, caller, clock } = started;
      const load = caller.drive(perSecond, 75);
      await later(12_000);
      clock.jumpTo(by);
      await later(20_000);
      const meanwhile = authority.issuedTo("caller");
      clock.jumpTo(0);
      const report = await load;
      keep(`clock, identity service ${by} s, ${name}`, report, authority);
      expect(failureCounts(report.failures)).toEqual({});
      expect(cell!.processedTwice()).toEqual([]);
      // The first have ended by now.
      expect(authority.issuedTo("caller")).toBeGreaterThan(1);
      expect(meanwhile).toBeGreaterThan(0);
    },
  );

  // What is open is looked at every 30 s.
  test.for([10, 45])("the caller's clock is an hour fast for %i s", async (wrongSeconds, context) => {
    const started = await begin(name, "caller");
    if (started === null) return context.skip("libfaketime isn't installed");
    const { authority, caller, clock } = started;
    const load = caller.drive(perSecond, wrongSeconds + 45);
    await later(5_000);
    clock.jumpTo(+hour);
    await later(wrongSeconds * 1_000);
    clock.jumpTo(0);
    const report = await load;
    keep(`clock, caller ${hour} s for ${wrongSeconds} s with SVIDs of a minute, ${name}`, report, authority);
    expect(cell!.processedTwice()).toEqual([]);
    // It is well again by itself.
    expect(report.failures.at(-1)?.sentAtMs ?? 0).toBeLessThan((wrongSeconds + 25) * 1_000);
  });
});
