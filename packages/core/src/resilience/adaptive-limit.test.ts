import { describe, expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.js";
import { AdaptiveLimit } from "./adaptive-limit.js";

/**
 * A server with so many workers and a queue, at a constant rate of requests that come when they like (Poisson) and take as
 * long as they like (Erlang of two), in simulated time.
 */
class Simulation {
  readonly limit: AdaptiveLimit;
  workers: number;
  serviceMs: number;
  perSecond = 0;
  now = 1_000_000;
  shed = 0;
  answered = 0;
  readonly #random = seededRandom(7);
  readonly #queue: number[] = [];
  /** When each busy worker ends, and when its request had come. */
  readonly #busy: { endsAt: number; startedAt: number }[] = [];
  #nextAt = Number.POSITIVE_INFINITY;

  constructor(workers: number, serviceMs: number, config = { min: 20, max: 1_000 }) {
    this.workers = workers;
    this.serviceMs = serviceMs;
    this.limit = new AdaptiveLimit(config, seededRandom(3));
  }

  /** Runs on, and calls back at every tenth of a second. */
  run(seconds: number, perSecond: number, each: () => void = () => {}): void {
    const end = this.now + seconds * 1000;
    this.perSecond = perSecond;
    this.#nextAt = perSecond > 0 ? this.now + this.#wait() : Number.POSITIVE_INFINITY;
    let tick = this.now + 100;
    for (;;) {
      const done = this.#busy.reduce((first, one) => (one.endsAt < first.endsAt ? one : first), nobody);
      const at = Math.min(done.endsAt, this.#nextAt, tick, end);
      this.now = at;
      if (at === end) return;
      if (at === tick) {
        each();
        tick += 100;
      } else if (at === done.endsAt) this.#finish(done);
      else this.#arrive();
    }
  }

  /** The mean and the extremes of the limit over some time. */
  observe(seconds: number, perSecond: number): { mean: number; least: number; most: number; latencyMs: number } {
    const limits: number[] = [];
    const latencies: number[] = [];
    this.run(seconds, perSecond, () => {
      const { limit, latencyMs, probing } = this.limit.describe();
      latencies.push(latencyMs);
      if (!probing) limits.push(limit);
    });
    const mean = (values: number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
    return { mean: mean(limits), least: Math.min(...limits), most: Math.max(...limits), latencyMs: mean(latencies) };
  }

  #wait(): number {
    return (-Math.log(1 - this.#random()) * 1000) / this.perSecond;
  }

  #arrive(): void {
    this.#nextAt = this.now + this.#wait();
    if (!this.limit.acquire()) {
      this.shed++;
      return;
    }
    if (this.#busy.length < this.workers) this.#work(this.now);
    else this.#queue.push(this.now);
  }

  #work(startedAt: number): void {
    const took = (-Math.log((1 - this.#random()) * (1 - this.#random())) * this.serviceMs) / 2;
    this.#busy.push({ startedAt, endsAt: this.now + took });
  }

  #finish(done: { startedAt: number }): void {
    this.#busy.splice(this.#busy.indexOf(done as never), 1);
    this.answered++;
    this.limit.measured(done.startedAt, this.now);
    if (this.#queue.length > 0 && this.#busy.length < this.workers) this.#work(this.#queue.shift()!);
  }
}

const nobody = { endsAt: Number.POSITIVE_INFINITY, startedAt: 0 };

describe("a server under twice the load that it can take", () => {
  test.each([
    [50, 20],
    [100, 50],
    [200, 50],
  ])("%i workers, %i ms each: shed is what is too much, and little waits", (workers, serviceMs) => {
    const simulation = new Simulation(workers, serviceMs);
    const capacity = (workers / serviceMs) * 1000;
    simulation.run(10, capacity / 2);
    // A new process has to find out that it can do more than 100 at a time.
    expect(simulation.shed).toBeLessThan(simulation.answered / 20);
    simulation.run(5, capacity * 2);
    const before = simulation.answered;
    const { least, most, latencyMs } = simulation.observe(60, capacity * 2);
    expect(least).toBeGreaterThan(workers);
    expect(most).toBeLessThan(2 * workers);
    expect(latencyMs).toBeLessThan(2 * serviceMs);
    expect((simulation.answered - before) / 60).toBeGreaterThan(0.98 * capacity);
  });

  test("a server that can take less than the minimum gets less than twice the minimum", () => {
    const simulation = new Simulation(1, 5);
    simulation.run(10, 100);
    simulation.run(5, 400);
    const { least, most } = simulation.observe(120, 400);
    expect(least).toBeGreaterThanOrEqual(20);
    expect(most).toBeLessThanOrEqual(40 + 10);
  });

  test("never above the maximum", () => {
    const simulation = new Simulation(100, 50, { min: 20, max: 60 });
    expect(simulation.observe(30, 4_000).most).toBe(60);
  });
});

test("work that becomes slower for good is believed, and so is the way back", () => {
  const simulation = new Simulation(100, 50);
  simulation.run(10, 1_000);
  simulation.serviceMs = 250;
  simulation.run(60, 800);
  const slow = simulation.observe(60, 800);
  expect(slow.mean).toBeGreaterThan(80);
  expect(slow.most).toBeLessThan(200);
  simulation.serviceMs = 50;
  simulation.run(60, 4_000);
  const again = simulation.observe(60, 4_000);
  expect(again.least).toBeGreaterThan(100);
  expect(again.most).toBeLessThan(250);
});

test("an hour without requests, and the slow ones after it, change nothing", () => {
  const simulation = new Simulation(100, 20);
  simulation.run(20, 6_000);
  const before = simulation.limit.describe();
  simulation.run(3_600, 0);
  simulation.serviceMs = 200;
  simulation.run(1, 200);
  simulation.serviceMs = 20;
  const after = simulation.limit.describe();
  expect(after.probing).toBe(false);
  expect(after.limit).toBeGreaterThanOrEqual(before.limit);
  simulation.shed = 0;
  const { least } = simulation.observe(20, 4_000);
  expect(least).toBeGreaterThan(100);
  expect(simulation.shed).toBeLessThan((20 * 4_000) / 100);
});

test("what is not in use does not grow, and is not measured at anybody's cost", () => {
  const simulation = new Simulation(100, 20);
  const { least, most } = simulation.observe(120, 1_000);
  expect([least, most, simulation.shed]).toEqual([100, 100, 0]);
  expect(simulation.limit.describe().probing).toBe(false);
});

/** Gives so many requests to a limit, one after the other, within `held` others. */
function feed(limit: AdaptiveLimit, from: number, tookMs: number, count: number, held: number): number {
  for (let i = 0; i < held; i++) limit.acquire();
  let now = from;
  for (let i = 0; i < count; i++) {
    limit.acquire();
    now += 10;
    limit.measured(now - tookMs, now);
  }
  for (let i = 0; i < held; i++) limit.release();
  return now;
}

test("moves as documented: by the gradient and the root, by half", () => {
  const limit = new AdaptiveLimit({ min: 20, max: 1_000 }, () => 0);
  let now = feed(limit, 0, 10, 100, 60);
  // No queue: 100 + 0.5 × (150 + 10 − 100).
  expect(limit.describe()).toMatchObject({ limit: 130, baselineMs: 10, latencyMs: 10 });
  now = feed(limit, now, 30, 100, 80);
  // Three times as slow: 130 + 0.5 × (65 + 11.4 − 130).
  expect(limit.describe()).toMatchObject({ limit: 103, baselineMs: 10, latencyMs: 30 });
});

test("those who give up count when they waited for long", () => {
  const limit = new AdaptiveLimit({ min: 20, max: 1_000 }, () => 0);
  let now = feed(limit, 0, 10, 100, 60);
  for (let i = 0; i < 200; i++) {
    limit.acquire();
    now += 10;
    limit.abandoned(now - (i % 2 === 0 ? 5 : 500), now);
  }
  expect(limit.describe()).toMatchObject({ latencyMs: 500, baselineMs: 10, waiting: 0 });
});

test("the latency without load is measured at half of the limit, when there was no time with little load", () => {
  const limit = new AdaptiveLimit({ min: 20, max: 200 }, () => 0);
  let now = 0;
  while (now < 32_000 && !limit.describe().probing) now = feed(limit, now, 10, 100, limit.limit - 1);
  expect(now).toBeGreaterThanOrEqual(30_000);
  expect(now).toBeLessThan(32_000);
  expect(limit.describe()).toMatchObject({ limit: 100, probing: true });
  // Those that began before it do not count.
  feed(limit, now, 12, 1, 0);
  for (let i = 0; i < 100; i++) {
    limit.acquire();
    limit.measured(now - 1, now + 5);
  }
  expect(limit.describe().probing).toBe(true);
  feed(limit, now, 8, 100, 0);
  expect(limit.describe()).toMatchObject({ limit: 200, probing: false, baselineMs: 8 });
});
