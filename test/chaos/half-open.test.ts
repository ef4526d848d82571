import { afterEach, describe, expect, test } from "vitest";
import { cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { Relay } from "./relay.js";
import { record, seen } from "./results.js";
import { protocols } from "./senders.js";
import { VanishingHost } from "./vanishing-host.js";

let cell: MeshedCell | null = null;
let relay: Relay | null = null;
let host: VanishingHost | null = null;
afterEach(async () => {
  await cell?.close();
  await relay?.close();
  host?.close();
  relay = null;
  host = null;
});

const authority = "app.test";
const limits = { timeout: "3s", retry: { limit: 2, perTryTimeout: "700ms" } };

describe.each(protocols)("half-open TCP, %s", (protocol) => {
  test.each(cellNames)("a replica's connections stay open and nothing passes any more, %s", async (name) => {
    cell = await MeshedCell.start(name);
    const replicas = await cell.start(3, { protocol });
    relay = await Relay.before(replicas[0]!);
    const service = { ...listed([relay, replicas[1]!, replicas[2]!]), ...limits };
    const caller = await cell.caller({ protocol, authority, outbound: { services: { [authority]: service } } });
    const perSecond = await caller.calmRate(500);
    const before = await replicas[0]!.requests();
    setTimeout(() => {
      relay!.mode = "is gone";
    }, 1_000);
    setTimeout(() => {
      relay!.mode = "passes";
    }, 5_000);
    const report = await caller.drive(perSecond, 10);
    const result = seen(report, cell.processedTwice());
    record(`half-open, ${protocol}, ${name}`, {
      offered: `${perSecond}/s for 10 s, half of them POST (gRPC: streams); one of 3 replicas gone from 1 s to 5 s; timeouts 700 ms and 3 s`,
      ...result,
    });
    // No gRPC call says that it is safe.
    if (protocol !== "grpc") expect(result.failedGets).toBe(0);
    expect(result.processedTwice).toBe(0);
    // Those that were under way or sent until it was ejected.
    expect(report.failed / report.sent).toBeLessThan(0.05);
    expect(await replicas[0]!.requests()).toBeGreaterThan(before);
  });
});

describe.each(cellNames)("half-open TCP, %s", (name) => {
  test("without any timeout, the connection is found to be dead", async () => {
    cell = await MeshedCell.start(name);
    const replicas = await cell.start(3);
    relay = await Relay.before(replicas[0]!);
    const service = listed([relay, replicas[1]!, replicas[2]!]);
    const caller = await cell.caller({ authority, outbound: { services: { [authority]: service } } });
    const perSecond = await caller.calmRate(200);
    setTimeout(() => {
      relay!.mode = "is gone";
    }, 1_000);
    const report = await caller.drive(perSecond, 25);
    const result = seen(report, cell.processedTwice());
    record(`half-open without timeouts, ${name}`, {
      offered: `${perSecond}/s for 25 s, half of them POST; one of 3 replicas gone from 1 s on; no timeouts`,
      ...result,
    });
    expect(result.failedGets).toBe(0);
    expect(result.processedTwice).toBe(0);
    // PINGs are sent after 10 s of silence, and 10 s are given to answer them.
    expect(report.maxMs).toBeLessThan(25_000);
  });

  test("a replica's host vanishes from its network", async (context) => {
    host = VanishingHost.create();
    if (host === null) return context.skip("network namespaces are not allowed here");
    cell = await MeshedCell.start(name);
    const away = await cell.replica({ host: host.farAddress, through: host.far });
    const replicas = await cell.start(2, { host: host.nearAddress, through: host.near });
    const service = { ...listed([away, ...replicas]), ...limits };
    const options = { authority, through: host.near, outbound: { services: { [authority]: service } } };
    const caller = await cell.caller(options);
    const perSecond = await caller.calmRate(500);
    const before = await away.requests();
    setTimeout(() => host!.vanish(), 1_000);
    setTimeout(() => host!.comeBack(), 5_000);
    const report = await caller.drive(perSecond, 10);
    const result = seen(report, cell.processedTwice());
    record(`host vanished, ${name}`, {
      offered: `${perSecond}/s for 10 s, half of them POST; the host of one of 3 replicas off the network from 1 s to 5 s; timeouts 700 ms and 3 s`,
      ...result,
    });
    expect(result.failedGets).toBe(0);
    expect(result.processedTwice).toBe(0);
    expect(report.failed / report.sent).toBeLessThan(0.05);
    expect(await away.requests()).toBeGreaterThan(before);
  });
});

test.each(cellNames)("reset storm: every connection to one replica is reset again and again, %s", async (name) => {
  cell = await MeshedCell.start(name);
  const replicas = await cell.start(3);
  relay = await Relay.before(replicas[0]!);
  const service = { ...listed([relay, replicas[1]!, replicas[2]!]), ...limits };
  const caller = await cell.caller({ authority, outbound: { services: { [authority]: service } } });
  const perSecond = await caller.calmRate(500);
  const stop = relay.storm(50);
  const report = await caller.drive(perSecond, 8);
  stop();
  const result = seen(report, cell.processedTwice());
  record(`reset storm, ${name}`, {
    offered: `${perSecond}/s for 8 s, half of them POST; all connections to one of 3 replicas are reset every 50 ms`,
    resets: relay.resets,
    ...result,
  });
  expect(relay.resets).toBeGreaterThan(0);
  expect(result.failedGets).toBe(0);
  expect(result.processedTwice).toBe(0);
  expect(report.failed / report.sent).toBeLessThan(0.05);
});
