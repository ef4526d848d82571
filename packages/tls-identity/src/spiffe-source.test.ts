import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import { SpiffeId } from "./spiffe-id.js";
import { createSpiffeSource, type SpiffeSourceOptions } from "./spiffe-source.js";
import { type FakeAgent, startFakeAgent } from "./testing/fake-agent.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";
import { workloadApiTarget } from "./workload-api.js";

const trust = createTestTrust();
const otherId = SpiffeId.parse("spiffe://a.example/ns/test/sa/other");
let directory = "";
let agent: FakeAgent;
const sources: IdentitySource[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "spiffe-source-"));
  agent = await startFakeAgent(join(directory, "agent.sock"));
});
afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  await agent.close();
  rmSync(directory, { recursive: true });
});

function open(options: SpiffeSourceOptions = {}): IdentitySource {
  const source = createSpiffeSource({ socket: agent.address, minBackoffMs: 5, maxBackoffMs: 20, ...options });
  sources.push(source);
  return source;
}

const next = (source: IdentitySource) =>
  new Promise<IdentitySnapshot>((resolve) => {
    const end = source.subscribe((snapshot) => {
      end();
      resolve(snapshot);
    });
  });
const nextFailure = (source: IdentitySource) =>
  new Promise<Error>((resolve) => {
    const end = source.onFailure((error) => {
      end();
      resolve(error);
    });
  });

describe("the Workload API source", () => {
  test("takes SVID and bundles, and each state as the whole", async () => {
    agent.push([trust.snapshot(testPeerId, { federated: [trust.b] })]);
    const source = open();
    const first = await source.ready();
    expect([first.id, [...first.bundles.keys()].sort()]).toEqual([testPeerId, ["a.example", "b.example"]]);
    const coming = next(source);
    agent.push([trust.snapshot(testPeerId)]);
    const second = await coming;
    expect([second.generation, [...second.bundles.keys()], agent.opened]).toEqual([2, ["a.example"], 1]);
  });

  test("takes the SVID that was asked for", async () => {
    agent.push([trust.snapshot(otherId), trust.snapshot(testPeerId)]);
    expect((await open({ id: testPeerId }).ready()).id).toBe(testPeerId);
    expect((await open().ready()).id).toBe(otherId);
    const missing = open({ id: SpiffeId.parse("spiffe://a.example/none") });
    expect((await nextFailure(missing)).message).toMatch(/no SVID for .*none; it offers: .*other, .*peer/);
  });

  test("takes the SVID with the hint that was asked for, the first of several, over rotations", async () => {
    const thirdId = SpiffeId.parse("spiffe://a.example/ns/test/sa/third");
    const all = () => [trust.snapshot(otherId), trust.snapshot(testPeerId), trust.snapshot(thirdId)];
    agent.push(all(), ["internal", "external", "external"]);
    const external = open({ hint: "external" });
    expect((await external.ready()).id).toBe(testPeerId);
    expect((await open({ hint: "internal" }).ready()).id).toBe(otherId);
    expect((await open({ hint: "external", id: thirdId }).ready()).id).toBe(thirdId);
    expect((await open().ready()).id).toBe(otherId);
    // The order is the agent's own business.
    const coming = next(external);
    agent.push(all().reverse(), ["x", "external", "internal"]);
    expect(await coming).toMatchObject({ id: testPeerId, generation: 2 });
  });

  test("refuses a hint that is not offered, says which are, keeps what it has, and takes it once it is there", async () => {
    agent.push([trust.snapshot(otherId), trust.snapshot(testPeerId)], ["internal"]);
    const source = open({ hint: "external" });
    expect(await nextFailure(source)).toMatchObject({
      reason: "workload-api",
      message: `the agent has no SVID for this workload with the hint "external"; it offers: ${otherId} (hint "internal"), ${testPeerId}`,
    });
    expect(source.current).toBeNull();
    agent.push([trust.snapshot(otherId), trust.snapshot(testPeerId)], ["internal", "external"]);
    const first = await source.ready();
    expect(first.id).toBe(testPeerId);
    const failing = nextFailure(source);
    agent.push([trust.snapshot(otherId)], ["internal"]);
    expect((await failing).message).toContain('hint "external"');
    expect(source.current).toBe(first);
    const mixed = open({ hint: "internal", id: testPeerId });
    expect((await nextFailure(mixed)).message).toMatch(/no SVID for .*peer with the hint "internal"/);
  });

  test("comes back after every refusal but one, and keeps what it has", async () => {
    agent.refuse(7);
    const source = open();
    expect(await nextFailure(source)).toMatchObject({ reason: "workload-api" });
    agent.push([trust.snapshot(testPeerId)]);
    const first = await source.ready();
    const failing = nextFailure(source);
    agent.refuse(14);
    await failing;
    expect(source.current).toBe(first);
    const coming = next(source);
    agent.push([trust.snapshot(testPeerId)]);
    expect((await coming).generation).toBe(2);
  });

  test("does not ask again where the agent calls the request invalid", async () => {
    agent.refuse(3);
    const source = open();
    await expect(source.ready()).rejects.toMatchObject({ reason: "source-options" });
    expect(agent.opened).toBe(1);
  });

  test("survives messages that are none", async () => {
    agent.push(Buffer.from("ffffffffffffffffffffff", "hex"));
    const source = open();
    await nextFailure(source);
    for (const bytes of ["0a", "0a05", "0a020a7f", "08", "0f"]) {
      const failing = nextFailure(source);
      agent.push(Buffer.from(bytes, "hex"));
      expect(await failing).toBeInstanceOf(Error);
    }
    const coming = next(source);
    agent.push([trust.snapshot(testPeerId)]);
    expect((await coming).id).toBe(testPeerId);
  });

  test("waits for an agent that is not there yet", async () => {
    const path = join(directory, "late.sock");
    const source = open({ socket: `unix://${path}` });
    expect(await nextFailure(source)).toMatchObject({ reason: "workload-api" });
    const late = await startFakeAgent(path);
    late.push([trust.snapshot(testPeerId)]);
    expect((await source.ready()).id).toBe(testPeerId);
    await late.close();
  });
});

test.each([
  ["unix:///run/agent.sock", "unix:///run/agent.sock"],
  ["tcp://127.0.0.1:8081", "ipv4:127.0.0.1:8081"],
  ["tcp://[::1]:8081", "ipv6:[::1]:8081"],
])("the address %s is the target %s", (address, target) => {
  expect(workloadApiTarget(address)).toBe(target);
});

test.each([
  "unix://agent.sock",
  "agent.sock",
  "tcp://localhost:1",
  "tcp://1.2.3.4",
  "tcp://1.2.3.4:99999",
  "http://1.2.3.4:1",
  "",
])("the address %s is refused", (address) => {
  expect(() => workloadApiTarget(address)).toThrow(/use unix/);
});
