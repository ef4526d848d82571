import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LocalRateLimit } from "./local-rate-limit.js";
import type { RateLimitDocument } from "./policy-document.js";

function limiter(limits: RateLimitDocument, maxIdentities?: number) {
  const clock = { ms: 1_000_000 };
  const limit = new LocalRateLimit(limits, { now: () => clock.ms, maxIdentities });
  const passes = (peer: string | null, times: number) => {
    let count = 0;
    for (let i = 0; i < times; i++) if (limit.take(peer).ok) count++;
    return count;
  };
  return { clock, limit, passes };
}

describe("LocalRateLimit", () => {
  test.each([1, 3, 7, 100, 999])("%i requests per second allow a burst of as many, then one per interval", (rate) => {
    const { clock, limit, passes } = limiter({ total: { requestsPerSecond: rate } });
    expect(passes("a", rate + 5)).toBe(rate);
    expect(limit.take("a")).toMatchObject({ ok: false, scope: "total" });
    clock.ms += 1000 / rate;
    expect(passes("a", 5)).toBe(1);
    clock.ms += 60_000;
    expect(passes("a", rate + 5)).toBe(rate);
  });

  test("retryAfterMs is when it passes, not a moment earlier", () => {
    const { clock, limit, passes } = limiter({ total: { requestsPerSecond: 4 } });
    passes("a", 4);
    const { retryAfterMs } = limit.take("a");
    expect(retryAfterMs).toBeCloseTo(250, 1);
    clock.ms += retryAfterMs - 1;
    expect(limit.take("a").ok).toBe(false);
    clock.ms += 1;
    expect(limit.take("a").ok).toBe(true);
  });

  test("identities are counted apart, and unauthenticated peers together", () => {
    const { limit, passes } = limiter({ identity: { requestsPerSecond: 2 } });
    expect(passes("a", 5)).toBe(2);
    expect(passes("b", 5)).toBe(2);
    expect(passes(null, 5)).toBe(2);
    expect(limit.take("a").scope).toBe("identity");
  });

  test("an override replaces the quota of its identity, also where there is none", () => {
    const overrides = [{ from: ["a"], requestsPerSecond: 5 }];
    expect(limiter({ identity: { requestsPerSecond: 2 }, overrides }).passes("a", 10)).toBe(5);
    const { passes } = limiter({ overrides });
    expect(passes("a", 10)).toBe(5);
    expect(passes("b", 10)).toBe(10);
  });

  test("what an identity's quota refuses takes nothing from the total", () => {
    const { passes } = limiter({ total: { requestsPerSecond: 10 }, identity: { requestsPerSecond: 2 } });
    expect(passes("greedy", 1000)).toBe(2);
    expect(passes("b", 2) + passes("c", 2) + passes("d", 2) + passes("e", 2)).toBe(8);
    expect(passes("f", 1)).toBe(0);
  });

  test("what the total refuses takes nothing from the identity", () => {
    const { clock, passes } = limiter({ total: { requestsPerSecond: 10 }, identity: { requestsPerSecond: 5 } });
    for (const other of ["b", "c"]) passes(other, 5);
    expect(passes("a", 50)).toBe(0);
    clock.ms += 1000;
    expect(passes("a", 50)).toBe(5);
  });

  test("the table of identities is bounded, and those with nothing to pay back are forgotten first", () => {
    const { clock, limit, passes } = limiter({ identity: { requestsPerSecond: 2 } }, 4);
    passes("idle", 1);
    clock.ms += 10_000;
    for (const peer of ["a", "b", "c", "d"]) expect(passes(peer, 5)).toBe(2);
    expect(limit.identities).toBe(4);
    for (const peer of ["a", "b", "c", "d"]) expect(passes(peer, 5)).toBe(0);
    for (let i = 0; i < 10_000; i++) limit.take(`peer-${i}`);
    expect(limit.identities).toBe(4);
  });

  test("no limits: everything passes", () => {
    expect(limiter({}).passes("a", 10_000)).toBe(10_000);
  });

  test("in any second at most twice the rate passes, over any second on average the rate", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.double({ min: 0, max: 300, noNaN: true }), { maxLength: 200 }),
        (rate, gaps) => {
          const { clock, limit } = limiter({ total: { requestsPerSecond: rate } });
          const start = clock.ms;
          let passed = 0;
          for (const gap of gaps) {
            clock.ms += gap;
            if (limit.take("a").ok) passed++;
          }
          expect(passed).toBeLessThanOrEqual(rate + (rate * (clock.ms - start)) / 1000 + 0.01);
        },
      ),
    );
  });
});
