import { setTimeout as later } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemDns } from "../../packages/core/src/resolver/dns-client.js";
import { DnsResolver } from "../../packages/core/src/resolver/dns-resolver.js";
import { systemClock } from "../../packages/core/src/runtime/clock.js";
import { DnsServer } from "./dns-server.js";
import { calmRate, capacity, drive, failureCounts } from "./load.js";
import { appIdentity, cellNames, MeshedCell } from "./meshed-cell.js";
import { PickerMesh } from "./picker-mesh.js";
import { bundle, endPrograms, Program } from "./program.js";
import type { Serving } from "./replica.js";
import { freePort } from "./replica-process.js";
import { record, successOf } from "./results.js";

beforeEach(() => bundle().then(() => {}));
afterEach(() => endPrograms());

test("DNS is away for a while, and knows another address when it is back", async () => {
  const program = new Program("replica", ["app"], { HOST: "0.0.0.0" });
  const { ports } = await program.message<Serving>();
  const dns = new DnsServer();
  await dns.start();
  const client = {
    ...systemDns([`127.0.0.1:${dns.port}`]),
    // The machine's own resolver has no say in this.
    system: async () => {
      throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    },
  };
  const resolver = new DnsResolver({
    name: "app.chaos.test",
    port: ports[0]!,
    identity: null,
    clock: systemClock,
    client,
    family: 4,
  });
  const mesh = new PickerMesh({ resolver, timeoutMs: 2_000, picker: null, ejects: true });
  try {
    const perSecond = calmRate(200, await capacity(() => mesh.get("/")));
    let asked = 0;
    setTimeout(() => {
      asked = dns.questions;
      dns.stop();
    }, 1_500);
    setTimeout(() => {
      dns.address = [127, 0, 0, 2];
      void dns.start();
    }, 4_000);
    const report = await drive({ perSecond, seconds: 10, send: () => mesh.get("/") });
    record("DNS outage", {
      offered: `${perSecond}/s for 10 s; DNS with a TTL of 1 s is away from 1.5 s to 4 s, and then knows another address`,
      requests: report.sent,
      failed: report.failed,
      success: successOf(report),
      addressesAtTheEnd: mesh.addresses,
    });
    expect(asked).toBeGreaterThan(0);
    expect(failureCounts(report.failures)).toEqual({});
    expect(mesh.addresses).toEqual([`127.0.0.2:${ports[0]}`]);
  } finally {
    mesh.close();
    dns.stop();
  }
});

test.each(cellNames)("DNS is away for a while, and the service has moved when it is back, %s", async (name) => {
  const cell = await MeshedCell.start(name);
  const dns = new DnsServer();
  try {
    await dns.start();
    const port = await freePort();
    const old = await cell.replica({ port });
    const fresh = await cell.replica({ port, host: "127.0.0.2" });
    const services = { "app.test": { identity: appIdentity, endpoints: { dns: `app.chaos.test:${port}` } } };
    const env = dns.env(cell.stateDir);
    const caller = await cell.caller({ authority: "app.test", env, outbound: { services } });
    const perSecond = await caller.calmRate(200);
    const load = caller.drive(perSecond, 10);
    await later(1_500);
    const asked = dns.questions;
    dns.stop();
    await later(2_500);
    const movedBefore = await fresh.requests();
    dns.address = [127, 0, 0, 2];
    await dns.start();
    await later(4_000);
    const oldBefore = await old.requests();
    const report = await load;
    const oldAtTheEnd = (await old.requests()) - oldBefore;
    record(`DNS outage, ${name}`, {
      offered: `${perSecond}/s for 10 s, half of them POST; DNS with a TTL of 1 s is away from 1.5 s to 4 s, and then knows another address`,
      requests: report.sent,
      failed: report.failed,
      failures: failureCounts(report.failures),
      success: successOf(report),
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      processedTwice: cell.processedTwice().length,
      oldAddressInTheLastTwoSeconds: oldAtTheEnd,
      freshAddress: await fresh.requests(),
    });
    expect(asked).toBeGreaterThan(0);
    expect(failureCounts(report.failures)).toEqual({});
    expect(cell.processedTwice()).toEqual([]);
    expect(movedBefore).toBe(0);
    expect(oldAtTheEnd).toBe(0);
    expect(await fresh.requests()).toBeGreaterThan(0);
  } finally {
    await cell.close();
    dns.stop();
  }
});
