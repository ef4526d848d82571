import { describe, expect, test } from "vitest";
import type { EndpointAddress } from "../resolver/resolver.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { ManualClock } from "../testing/manual-clock.js";
import { seededRandom } from "../testing/seeded-random.js";
import { Balancer, balancingDefaults } from "./balancer.js";
import type { Endpoint } from "./endpoint.js";

const clockStart = 1_000_000;

function balancerIn(zone: string | null, addresses: readonly EndpointAddress[]) {
  const clock = new ManualClock(clockStart);
  const balancer = new Balancer(
    {
      authority: "test.example",
      clock,
      wheel: new TimerWheel(clock),
      random: seededRandom(7),
      factory: { create: () => ({ enforcedIdentity: null, call() {}, close() {} }) },
      wrap: (_endpoint, transport) => transport,
    },
    { ...balancingDefaults, zone },
  );
  balancer.update(addresses);
  return { clock, balancer };
}

function inZones(zones: Readonly<Record<string, number>>): EndpointAddress[] {
  return Object.entries(zones).flatMap(([zone, count]) =>
    Array.from({ length: count }, (_, i) => ({ host: `${zone || "none"}${i}`, port: 1, identity: null, zone })),
  );
}

/** Requests per second for some seconds, each taking what `latencyMs` says; the share of each zone. */
function simulate(
  { clock, balancer }: ReturnType<typeof balancerIn>,
  { perSecond, seconds, latencyMs }: { perSecond: number; seconds: number; latencyMs: (endpoint: Endpoint) => number },
): Map<string, number> {
  const counts = new Map<string, number>();
  const total = perSecond * seconds;
  for (let i = 0; i < total; i++) {
    clock.advance(1000 / perSecond);
    const endpoint = balancer.pick(null, clock.now())!;
    endpoint.load.start();
    endpoint.inFlight++;
    const zone = endpoint.address.zone!;
    counts.set(zone, (counts.get(zone) ?? 0) + 1);
    const ms = latencyMs(endpoint);
    clock.setTimer(() => {
      endpoint.inFlight--;
      endpoint.load.finish(ms, clock.now());
    }, ms);
  }
  return new Map([...counts].map(([zone, count]) => [zone, count / total]));
}

describe("zones", () => {
  test("requests stay in the own zone while it keeps up, although most endpoints are elsewhere", () => {
    const fixture = balancerIn("a", inZones({ a: 3, b: 6 }));
    const shares = simulate(fixture, { perSecond: 500, seconds: 20, latencyMs: ({ far }) => (far ? 12 : 10) });
    expect(shares.get("a")).toBeGreaterThan(0.97);
    // A few go elsewhere, so that what is known of the others does not grow old.
    expect(shares.get("b")).toBeGreaterThan(0);
  });

  test("an own zone that is overloaded spills, and gets its share back when it has recovered", () => {
    const fixture = balancerIn("a", inZones({ a: 2, b: 4 }));
    // Each endpoint works on four at a time; more wait.
    const queueing = ({ inFlight }: Endpoint) => 20 * Math.max(1, inFlight / 4);
    const over = simulate(fixture, { perSecond: 900, seconds: 20, latencyMs: queueing });
    expect(over.get("b")).toBeGreaterThan(0.3);
    expect(over.get("a")).toBeGreaterThan(0.3);
    simulate(fixture, { perSecond: 100, seconds: 60, latencyMs: queueing });
    const after = simulate(fixture, { perSecond: 100, seconds: 20, latencyMs: queueing });
    expect(after.get("a")).toBeGreaterThan(0.95);
  });

  test("an own zone that became slow spills nearly everything", () => {
    const fixture = balancerIn("a", inZones({ a: 3, b: 3 }));
    const shares = simulate(fixture, { perSecond: 300, seconds: 20, latencyMs: ({ far }) => (far ? 10 : 400) });
    expect(shares.get("b")).toBeGreaterThan(0.9);
  });

  test("without a zone of its own, a workload uses all endpoints alike", () => {
    const fixture = balancerIn(null, inZones({ a: 3, b: 3 }));
    const shares = simulate(fixture, { perSecond: 300, seconds: 10, latencyMs: () => 10 });
    expect(shares.get("a")).toBeCloseTo(0.5, 1);
  });

  test("endpoints of no known zone count as near", () => {
    const { balancer, clock } = balancerIn("a", inZones({ "": 1, b: 5 }));
    expect(balancer.pick(null, clock.now())!.address.host).toBe("none0");
  });

  test("another zone is used when the own one has no endpoint, or only the one that just failed", () => {
    const elsewhere = balancerIn("a", inZones({ b: 2 }));
    expect(elsewhere.balancer.pick(null, clockStart)!.address.zone).toBe("b");
    const { balancer } = balancerIn("a", inZones({ a: 1, b: 2 }));
    const failed = balancer.pick(null, clockStart)!;
    expect(failed.address.zone).toBe("a");
    expect(balancer.pick([failed], clockStart)!.address.zone).toBe("b");
  });

  test("an attempt that failed in the only other-zone endpoint comes back to the own zone", () => {
    const { balancer } = balancerIn("a", inZones({ a: 1, b: 1 }));
    const near = balancer.pick(null, clockStart)!;
    const far = balancer.pick([near], clockStart)!;
    for (let i = 0; i < 100; i++) near.load.start();
    expect(balancer.pick([far], clockStart)).toBe(near);
  });

  test("an endpoint that moves to another zone is preferred there, with its history", () => {
    const { balancer } = balancerIn("a", inZones({ b: 2 }));
    const [first, second] = balancer.endpoints;
    balancer.update([{ ...first!.address, zone: "a" }, second!.address]);
    for (let i = 0; i < 10; i++) expect(balancer.pick(null, clockStart)).toBe(first);
    balancer.update([
      { ...first!.address, zone: "b" },
      { ...second!.address, zone: "a" },
    ]);
    for (let i = 0; i < 10; i++) expect(balancer.pick(null, clockStart)).toBe(second);
  });
});
