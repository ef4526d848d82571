import type { Exchange, Service, Sink } from "@selvage/http2";
import { transportError } from "@selvage/http2";
import { RecordingSink } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import type { EndpointAddress } from "../resolver/resolver.js";
import type { Random } from "../runtime/random.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { ManualClock } from "../testing/manual-clock.js";
import { seededRandom } from "../testing/seeded-random.js";
import { endpointAddress, outboundExchange } from "../testing/test-mesh.js";
import { Balancer, type BalancingConfig, balancingDefaults } from "./balancer.js";
import type { Endpoint } from "./endpoint.js";
import type { Dispatcher } from "./wait-queue.js";

class Fixture implements Dispatcher {
  readonly clock = new ManualClock();
  readonly wheel = new TimerWheel(this.clock);
  readonly created: string[] = [];
  readonly closed: string[] = [];
  readonly dispatched: string[] = [];
  readonly balancer: Balancer;

  constructor(config: Partial<BalancingConfig> = {}, random: Random = seededRandom(3)) {
    const { clock, wheel } = this;
    this.balancer = new Balancer(
      {
        authority: "test.example",
        clock,
        wheel,
        random,
        factory: {
          create: (address) => {
            this.created.push(address.host);
            return { enforcedIdentity: null, call() {}, close: () => void this.closed.push(address.host) };
          },
        },
        wrap: (_endpoint, transport): Service => transport,
      },
      { ...balancingDefaults, ...config },
    );
  }

  dispatch(_x: Exchange, sink: Sink, endpoint: Endpoint): void {
    this.dispatched.push(endpoint.key);
    sink.onHead(200, []);
    sink.onEnd(null);
  }

  update(...addresses: (string | EndpointAddress)[]): void {
    this.balancer.update(addresses.map(endpointAddress));
  }

  endpoint(host: string): Endpoint {
    for (const endpoint of this.balancer.endpoints) if (endpoint.address.host === host) return endpoint;
    throw new Error(`no endpoint ${host}`);
  }

  wait(): RecordingSink {
    const sink = new RecordingSink();
    this.balancer.wait(outboundExchange(), sink, this);
    return sink;
  }

  pick(...tried: Endpoint[]): string | undefined {
    return this.balancer.pick(tried, this.clock.now())?.address.host;
  }

  picks(count: number): Record<string, number> {
    const counts: Record<string, number> = {};
    for (let i = 0; i < count; i++) {
      const host = this.pick() ?? "none";
      counts[host] = (counts[host] ?? 0) + 1;
    }
    return counts;
  }

  eject(host: string): void {
    for (let i = 0; i < 7; i++) this.endpoint(host).accrual.recordFailure();
  }
}

test("an update inserts and removes, and leaves the others as they are", () => {
  const f = new Fixture();
  f.update("a", "b", "c");
  const b = f.endpoint("b");
  b.load.start();
  f.update("b", { host: "c", port: 1, identity: null, weight: 3, zone: "z" }, "d");
  expect(f.created).toEqual(["a", "b", "c", "d"]);
  expect(f.closed).toEqual(["a"]);
  expect(f.endpoint("b")).toBe(b);
  expect(f.endpoint("c").weight).toBe(3);
});

test("an endpoint whose identity changed is another endpoint", () => {
  const f = new Fixture();
  f.update("a");
  f.update({ host: "a", port: 1, identity: "spiffe://t/a" });
  expect([f.created, f.closed]).toEqual([["a", "a"], ["a"]]);
  expect(f.balancer.size).toBe(1);
});

test("the less loaded of two wins, and among three the most loaded never does", () => {
  const f = new Fixture();
  f.update("a", "b", "c");
  f.endpoint("a").load.start();
  f.endpoint("b").load.start();
  f.endpoint("b").load.start();
  const picks = f.picks(3_000);
  expect(picks["b"]).toBeUndefined();
  expect(picks["c"]! / 3_000).toBeCloseTo(2 / 3, 1);
});

test("equal endpoints get equal shares", () => {
  const f = new Fixture();
  f.update("a", "b", "c", "d");
  for (const share of Object.values(f.picks(8_000))) expect(share / 8_000).toBeCloseTo(1 / 4, 1);
});

test("load counts relative to weight, and weight 0 gets nothing", () => {
  const f = new Fixture();
  f.update({ host: "a", port: 1, identity: null, weight: 4 }, "b", { host: "c", port: 1, identity: null, weight: 0 });
  for (let i = 0; i < 2; i++) f.endpoint("a").load.start();
  expect(f.picks(100)).toEqual({ a: 100 });
  for (let i = 0; i < 2; i++) f.endpoint("a").load.start();
  expect(f.picks(100)).toEqual({ b: 100 });
});

test("the excluded endpoint is avoided while there is another", () => {
  const f = new Fixture();
  f.update("a", "b", "c");
  const excluded = f.endpoint("b");
  for (let i = 0; i < 200; i++) expect(f.pick(excluded)).not.toBe("b");
  f.update("b", "c");
  for (let i = 0; i < 20; i++) expect(f.pick(excluded)).toBe("c");
  f.update("b");
  expect(f.pick(excluded)).toBe("b");
});

test("of several that were tried the one tried first is next when there is no other", () => {
  const f = new Fixture();
  f.update("a", "b", "c", "d");
  const tried = ["c", "a", "b"].map((host) => f.endpoint(host));
  for (let i = 0; i < 20; i++) expect(f.pick(...tried)).toBe("d");
  f.update("a", "b", "c");
  for (let i = 0; i < 20; i++) expect(f.pick(...tried)).toBe("c");
  f.update("a", "b");
  for (let i = 0; i < 20; i++) expect(f.pick(...tried)).toBe("a");
  f.update("b", { host: "c", port: 1, identity: null, weight: 0 });
  expect(f.pick(...tried)).toBe("b");
});

test("an ejected endpoint gets nothing until its probe is due, and one probe at a time", () => {
  const f = new Fixture();
  f.update("a", "b", "c", "d");
  f.eject("a");
  expect(f.picks(100)["a"]).toBeUndefined();
  f.clock.advance(1_520);
  const a = f.endpoint("a");
  expect(a.state).toBe("probing");
  expect(a.accrual.takeProbe()).toBe(true);
  expect(a.accrual.takeProbe()).toBe(false);
  expect(f.picks(100)["a"]).toBeUndefined();
  a.accrual.recordSuccess();
  expect(f.picks(100)["a"]).toBeGreaterThan(0);
});

test("one good endpoint of three is enough", () => {
  const f = new Fixture();
  f.update("a", "b", "c");
  f.eject("a");
  f.eject("b");
  expect(Object.keys(f.picks(100))).toEqual(["c"]);
});

test("ejections are ignored while more than 70 % are ejected", () => {
  const f = new Fixture();
  f.update("a", "b", "c", "d");
  f.eject("a");
  f.eject("b");
  expect(Object.keys(f.picks(200)).sort()).toEqual(["c", "d"]);
  f.eject("c");
  expect(f.balancer.panicking).toBe(true);
  expect(Object.keys(f.picks(200)).sort()).toEqual(["a", "b", "c", "d"]);
});

test.each([
  [["a"], 1, "a"],
  [["a", "b"], 1, "b"],
  [["a", "b"], 2, "a b"],
  [["a", "b", "c"], 1, "b c"],
  [["a", "b", "c"], 2, "c"],
  [["a", "b", "c"], 3, "a b c"],
])("of %j, with the first %i ejected, %s are used", (hosts, ejected, used) => {
  const f = new Fixture();
  f.update(...hosts);
  for (const host of hosts.slice(0, ejected)) f.eject(host);
  expect(Object.keys(f.picks(200)).sort().join(" ")).toBe(used);
});

test("with a panic ratio of 1 nothing ejected is picked", () => {
  const f = new Fixture({ panicRatio: 1 });
  f.update("a");
  f.eject("a");
  expect(f.pick()).toBeUndefined();
});

test("exchanges wait for the first endpoint, in order, and may give up meanwhile", () => {
  const f = new Fixture();
  const sinks = [f.wait(), f.wait(), f.wait()];
  const abandoned = new RecordingSink();
  const x = outboundExchange();
  f.balancer.wait(x, abandoned, f);
  expect(f.balancer.queued).toBe(4);
  const reason = transportError("SELVAGE_ERR_ABORTED", "gone", "caller");
  x.flow.abort(reason);
  x.flow.abort(reason);
  expect(abandoned.error).toBe(reason);
  expect(f.balancer.queued).toBe(3);
  f.clock.advance(2_000);
  f.update("a");
  expect(sinks.map((sink) => sink.status)).toEqual([200, 200, 200]);
  expect(abandoned.violations).toEqual([]);
});

test("a pause while waiting reaches whoever gets the exchange", () => {
  const f = new Fixture();
  const x = outboundExchange();
  let paused = 0;
  f.balancer.wait(x, new RecordingSink(), {
    dispatch: (y) => {
      y.flow = { abort() {}, pause: () => void paused++, resume() {} };
    },
  });
  x.flow.pause();
  f.update("a");
  expect(paused).toBe(1);
});

test("when nothing becomes ready within 3 s everything fails, from then on at once, until something is ready", () => {
  const f = new Fixture();
  f.balancer.resolverFailed(new Error("no such name"));
  const first = f.wait();
  f.clock.advance(2_900);
  const second = f.wait();
  expect(first.error).toBeNull();
  f.clock.advance(130);
  for (const sink of [first, second, f.wait()]) {
    expect(sink.error?.code).toBe("SELVAGE_ERR_NO_ENDPOINT");
    expect(sink.error?.message).toBe("no endpoint of test.example: no such name");
    expect(sink.error?.progress).toBe("unsent");
  }
  f.update("a");
  expect(f.balancer.failingFast).toBe(false);
  expect(f.pick()).toBe("a");
});

test("when all are ejected the error says so", () => {
  const f = new Fixture({ panicRatio: 1 }, () => 0);
  f.update("a");
  for (let i = 0; i < 2; i++) {
    f.eject("a");
    if (i === 0) {
      f.clock.advance(1_010);
      f.endpoint("a").accrual.recordFailure();
    }
  }
  f.endpoint("a").accrual.close();
  const sink = f.wait();
  f.clock.advance(3_100);
  expect(sink.error?.code).toBe("SELVAGE_ERR_FAIL_FAST");
  expect(sink.error?.message).toMatch(/1 known, all ejected/);
});

test("no more wait than the queue holds", () => {
  const f = new Fixture({ queue: { capacity: 2, failFastMs: 3_000 } });
  f.wait();
  f.wait();
  expect(f.wait().error?.code).toBe("SELVAGE_ERR_SHED");
});

test("closing fails what waits and closes the transports", () => {
  const f = new Fixture();
  f.update("a");
  f.update();
  const sink = f.wait();
  f.update();
  f.balancer.close();
  expect(sink.error?.code).toBe("SELVAGE_ERR_DRAINING");
  expect(f.wait().error?.code).toBe("SELVAGE_ERR_DRAINING");
  expect(f.closed).toEqual(["a"]);
  f.update("b");
  expect(f.created).toEqual(["a"]);
  f.clock.advance(10_000);
  expect(sink.violations).toEqual([]);
});
