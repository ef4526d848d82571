import { describe, expect, test } from "vitest";
import type { EndpointAddress } from "../resolver/resolver.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { ManualClock } from "../testing/manual-clock.js";
import { seededRandom } from "../testing/seeded-random.js";
import { endpointAddress } from "../testing/test-mesh.js";
import { Balancer, balancingDefaults } from "./balancer.js";
import type { Endpoint } from "./endpoint.js";

const keys = Array.from({ length: 10_000 }, (_, i) => `user-${i}`);

function hashing(addresses: readonly (string | EndpointAddress)[], options: { maxLoad?: number; seed?: number } = {}) {
  const clock = new ManualClock();
  const balancer = new Balancer(
    {
      authority: "test.example",
      clock,
      wheel: new TimerWheel(clock),
      random: seededRandom(options.seed ?? 5),
      factory: { create: () => ({ enforcedIdentity: null, call() {}, close() {} }) },
      wrap: (_endpoint, transport) => transport,
    },
    { ...balancingDefaults, zone: "a", hash: { by: "header", name: "x-user", maxLoad: options.maxLoad ?? 1.5 } },
  );
  balancer.update(addresses.map(endpointAddress));
  const find = (key: string, ...tried: Endpoint[]) => balancer.pickFor(["x-user", key], tried, clock.now())!;
  return { balancer, clock, find, owners: () => keys.map((key) => find(key).key) };
}

function names(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `e${i}:1`);
}

function shares(owners: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const owner of owners) counts.set(owner, (counts.get(owner) ?? 0) + 1 / owners.length);
  return counts;
}

function eject(endpoint: Endpoint): void {
  for (let i = 0; i < 7; i++) endpoint.accrual.recordFailure();
}

describe("consistent hashing", () => {
  test("a key has the same endpoint in every process, in whatever order endpoints are found", () => {
    const one = hashing(names(20), { seed: 1 });
    const other = hashing(names(20).reverse(), { seed: 2 });
    expect(other.owners()).toEqual(one.owners());
  });

  test("shares are even to about a tenth, and follow weights", () => {
    for (const share of shares(hashing(names(10)).owners()).values()) expect(Math.abs(share - 0.1)).toBeLessThan(0.04);
    const weighted = shares(
      hashing([
        { host: "a", port: 1, identity: null, weight: 4 },
        { host: "b", port: 1, identity: null, weight: 1 },
        { host: "d", port: 1, identity: null, weight: 0.05 },
        { host: "c", port: 1, identity: null, weight: 0 },
      ]).owners(),
    );
    expect(weighted.get("a:1")).toBeCloseTo(0.8, 1);
    expect(weighted.get("b:1")).toBeCloseTo(0.2, 1);
    expect(weighted.get("d:1")).toBeCloseTo(0.01, 2);
    expect(weighted.has("c:1")).toBe(false);
  });

  test("an endpoint that goes moves its own keys only, one that comes takes only what it gets", () => {
    const { balancer, owners } = hashing(names(10));
    const before = owners();
    balancer.update(
      names(10)
        .filter((name) => name !== "e3:1")
        .map(endpointAddress),
    );
    const without = owners();
    for (const [i, owner] of without.entries()) if (before[i] !== "e3:1") expect(owner).toBe(before[i]);
    balancer.update(names(11).map(endpointAddress));
    for (const [i, owner] of owners().entries()) if (owner !== "e10:1") expect(owner).toBe(before[i]);
  });

  test("after any number of changes keys are where they were if there had been none", () => {
    const random = seededRandom(11);
    const { balancer, owners } = hashing([]);
    for (let change = 0; change < 40; change++) {
      const addresses = names(60)
        .filter(() => random() < 0.8)
        .map((name) => ({ ...endpointAddress(name), weight: random() < 0.9 ? 1 : Math.ceil(random() * 5) / 2 }));
      balancer.update(addresses);
      if (change % 4 !== 3) continue;
      expect(owners()).toEqual(hashing(addresses.reverse(), { seed: change }).owners());
    }
  });

  test("an ejected endpoint's keys go to the next ones, all of them to their own, and come back", () => {
    const { balancer, clock, owners } = hashing(names(10));
    const before = owners();
    const [ejected] = balancer.endpoints;
    eject(ejected!);
    const meanwhile = owners();
    for (const [i, owner] of meanwhile.entries()) {
      if (before[i] === ejected!.key) expect(owner).not.toBe(ejected!.key);
      else expect(owner).toBe(before[i]);
    }
    expect(shares(meanwhile.filter((_, i) => before[i] === ejected!.key)).size).toBe(9);
    clock.advance(1_600);
    ejected!.accrual.takeProbe();
    ejected!.accrual.recordSuccess();
    expect(owners()).toEqual(before);
  });

  test("when too many are ejected all keep their keys", () => {
    const { balancer, owners } = hashing(names(4));
    const before = owners();
    for (const endpoint of [...balancer.endpoints].slice(1)) eject(endpoint);
    expect(balancer.panicking).toBe(true);
    expect(owners()).toEqual(before);
  });

  test("a retry goes to the next on the ring, which is the same each time", () => {
    const { find } = hashing(names(10));
    const first = find("ann");
    const second = find("ann", first);
    expect(second).not.toBe(first);
    for (let i = 0; i < 20; i++) expect(find("ann", first)).toBe(second);
  });

  test("each further retry goes to one that was not tried, while there is one", () => {
    const { find } = hashing(names(4));
    for (const key of keys.slice(0, 50)) {
      const tried: Endpoint[] = [];
      for (let i = 0; i < 4; i++) tried.push(find(key, ...tried));
      expect(new Set(tried).size).toBe(4);
      expect(find(key, ...tried)).toBe(tried[0]);
    }
  });

  test("the only endpoint is used though it failed", () => {
    const { find } = hashing(["a:1"]);
    expect(find("ann", find("ann")).key).toBe("a:1");
  });

  test("a hot key spills beyond its share, and no further than it must", () => {
    const { find, balancer } = hashing(names(10), { maxLoad: 1.5 });
    const owner = find("hot");
    for (let i = 0; i < 1_000; i++) find("hot").started();
    const loads = [...balancer.endpoints].map(({ inFlight }) => inFlight).sort((a, b) => b - a);
    expect(owner.inFlight).toBe(150);
    expect(loads).toEqual([150, 150, 150, 150, 150, 150, 100, 0, 0, 0]);
    for (const endpoint of balancer.endpoints) while (endpoint.inFlight > 0) endpoint.ended();
    expect(find("hot")).toBe(owner);
  });

  test("a few exchanges at a time stay where they are", () => {
    const { find } = hashing(names(10));
    const owner = find("hot");
    for (let i = 0; i < 8; i++) {
      expect(find("hot")).toBe(owner);
      owner.started();
    }
    expect(find("hot")).not.toBe(owner);
  });

  test("requests without the key are balanced by load, near ones first", () => {
    const { balancer, clock } = hashing([
      { host: "near", port: 1, identity: null, zone: "a" },
      { host: "far", port: 1, identity: null, zone: "b" },
    ]);
    for (let i = 0; i < 20; i++) expect(balancer.pickFor([], null, clock.now())!.address.host).toBe("near");
  });

  test("what waited for endpoints goes where its key belongs", () => {
    const { balancer, find } = hashing([]);
    const got: [string, string][] = [];
    for (const key of keys.slice(0, 100)) {
      const x = { headers: ["x-user", key], flow: null, body: null } as never;
      balancer.wait(x, {} as never, { dispatch: (_x, _sink, endpoint) => void got.push([key, endpoint.key]) });
    }
    balancer.update(names(10).map(endpointAddress));
    expect(got).toHaveLength(100);
    for (const [key, owner] of got) expect(owner).toBe(find(key).key);
  });

  test("with nearly all ejected a search ends, and finds who is left", () => {
    const { balancer, find } = hashing(names(40));
    for (const endpoint of [...balancer.endpoints].slice(0, 28)) eject(endpoint);
    const ready = new Set([...balancer.endpoints].slice(28).map(({ key }) => key));
    for (const key of keys.slice(0, 1_000)) expect(ready.has(find(key).key)).toBe(true);
  });
});
