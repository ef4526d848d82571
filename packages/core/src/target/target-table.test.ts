import { expect, test } from "vitest";
import { ListResolver } from "../resolver/list-resolver.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { Registry } from "../telemetry/registry.js";
import { ManualClock } from "../testing/manual-clock.js";
import { endpointAddress, testRoute } from "../testing/test-mesh.js";
import { TargetTable, type TargetTableOptions } from "./target-table.js";

function fixture(options: TargetTableOptions = {}) {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const registry = new Registry();
  const asked: string[] = [];
  const closed: string[] = [];
  const table = new TargetTable(
    (authority) => {
      asked.push(authority);
      if (!authority.endsWith(".shop")) return null;
      const resolver = new ListResolver([endpointAddress(`${authority}:1`)]);
      return { authority, resolver, identity: null, routes: [], fallback: testRoute() };
    },
    {
      clock,
      wheel,
      random: Math.random,
      metrics: new MeshMetrics(registry),
      factory: {
        create: ({ host }) => ({ enforcedIdentity: null, call() {}, close: () => void closed.push(host) }),
      },
      wrap: (_endpoint, transport) => transport,
    },
    options,
  );
  return { clock, wheel, registry, asked, closed, table };
}

test("an authority is one target however it is written", () => {
  const { table, asked } = fixture();
  const target = table.find("a.shop");
  for (const name of ["A.Shop", "a.shop:80", "a.shop.", "a.shop.:80"]) expect(table.find(name)).toBe(target);
  expect(asked).toEqual(["a.shop"]);
  expect(table.find("a.shop:8080")).toBeNull();
  expect(table.find("other.example")).toBeNull();
  expect(table.explainUnknown("x")).toBe("it is not configured");
});

test("a target that nobody asks for is dropped, with its endpoints and metrics; one in use stays", () => {
  const { table, clock, closed, registry } = fixture({ idleMs: 1_000 });
  table.find("idle.shop")!.start();
  const busy = table.find("busy.shop")!;
  busy.start();
  const [endpoint] = busy.balancer.endpoints;
  endpoint!.inFlight++;
  busy.used = true;
  clock.advance(2_100);
  expect([table.size, closed]).toEqual([1, ["idle.shop"]]);
  expect(renderPrometheus(registry)).not.toContain('selvage_endpoint_state{server_address="idle.shop"');
  expect(renderPrometheus(registry)).toContain(
    'selvage_endpoint_state{server_address="busy.shop",state="available"} 1',
  );
  endpoint!.inFlight--;
  clock.advance(1_100);
  expect([table.size, clock.pending]).toEqual([0, 0]);
  expect(table.find("idle.shop")).not.toBeNull();
});

test("at the limit unused targets make room; if there are none new ones are refused", () => {
  const { table } = fixture({ maxTargets: 2 });
  for (const name of ["a.shop", "b.shop"]) table.find(name)!.used = true;
  expect(table.find("c.shop")).toBeNull();
  expect(table.explainUnknown("c.shop")).toBe("too many authorities are in use");
  expect(table.find("c.shop")).not.toBeNull();
});

test("a forgotten target is asked for again", () => {
  const { table, asked, closed } = fixture();
  const first = table.find("a.shop")!;
  first.start();
  table.forget("A.shop");
  expect(closed).toEqual(["a.shop"]);
  expect(table.find("a.shop")).not.toBe(first);
  expect(asked).toHaveLength(2);
});

test("closing closes all", () => {
  const { table, closed, wheel } = fixture();
  for (const name of ["a.shop", "b.shop"]) table.find(name)!.start();
  table.close();
  expect([closed, table.find("a.shop"), wheel.size]).toEqual([["a.shop", "b.shop"], null, 0]);
});

test("a target tells people what it knows", () => {
  const { table } = fixture();
  table.find("a.shop")!.start();
  expect(table.describe()).toMatchObject([
    {
      authority: "a.shop",
      endpoints: [{ address: "a.shop:1", state: "available", load: 30, inFlight: 0 }],
      retriesAvailable: 100,
      routes: [{ name: "test", timeoutMs: 0, retryLimit: 1 }],
    },
  ]);
});
