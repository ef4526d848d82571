import { expect, test } from "vitest";
import type { FailureAccrualConfig } from "../config/config.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { ManualClock } from "../testing/manual-clock.js";
import { FailureAccrual, failureAccrualDefaults } from "./failure-accrual.js";

function fixture(config: Partial<FailureAccrualConfig> = {}) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const accrual: FailureAccrual = new FailureAccrual(
    { ...failureAccrualDefaults, ...config },
    clock,
    new TimerWheel(clock),
    () => 0,
    { accrualChanged: () => changes.push(`${accrual.state} ${accrual.ready}`) },
  );
  const fail = (times: number) => {
    for (let i = 0; i < times; i++) accrual.recordFailure();
  };
  return { clock, changes, accrual, fail };
}

test("seven failures in a row eject, a success in between starts anew", () => {
  const { accrual, fail } = fixture();
  fail(6);
  accrual.recordSuccess();
  fail(6);
  expect(accrual.state).toBe("available");
  fail(1);
  expect(accrual.state).toBe("ejected");
});

test("after a second one probe decides: failing doubles the wait up to a minute, success forgets it", () => {
  const { clock, accrual, fail } = fixture();
  fail(7);
  for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
    clock.advance(waitMs - 20);
    expect(accrual.state).toBe("ejected");
    clock.advance(40);
    expect(accrual.state).toBe("probing");
    expect(accrual.takeProbe()).toBe(true);
    accrual.recordFailure();
  }
  clock.advance(60_020);
  accrual.recordSuccess();
  expect(accrual.state).toBe("available");
  fail(7);
  clock.advance(1_020);
  expect(accrual.state).toBe("probing");
});

test("answers that come while it is ejected don't count", () => {
  const { accrual, fail, clock } = fixture();
  fail(7);
  accrual.recordSuccess();
  fail(20);
  accrual.recordRateLimited();
  expect(accrual.state).toBe("ejected");
  clock.advance(1_020);
  expect(accrual.state).toBe("probing");
});

test("a probe that ended without an outcome is given back", () => {
  const { accrual, fail, clock, changes } = fixture();
  fail(7);
  clock.advance(1_020);
  accrual.takeProbe();
  accrual.giveProbeBack();
  expect(accrual.takeProbe()).toBe(true);
  expect(changes).toEqual(["ejected false", "probing true", "probing false", "probing true", "probing false"]);
});

test("0 failures in a row: never for this reason", () => {
  const { accrual, fail } = fixture({ consecutiveFailures: 0 });
  fail(1_000);
  expect(accrual.state).toBe("available");
});

test("a low success rate ejects once there are enough requests, rate limits included", () => {
  const { accrual, clock } = fixture({
    consecutiveFailures: 0,
    successRate: { threshold: 0.8, windowMs: 10_000, minRequests: 5 },
  });
  for (let i = 0; i < 3; i++) accrual.recordSuccess();
  accrual.recordFailure();
  expect(accrual.state).toBe("available");
  clock.advance(11_000);
  for (let i = 0; i < 4; i++) accrual.recordSuccess();
  accrual.recordRateLimited();
  expect(accrual.state).toBe("available");
  accrual.recordRateLimited();
  expect(accrual.state).toBe("ejected");
  clock.advance(1_020);
  accrual.recordSuccess();
  accrual.recordFailure();
  expect(accrual.state).toBe("available");
});

test("once closed it does not probe any more", () => {
  const { accrual, fail, clock } = fixture();
  fail(7);
  accrual.close();
  clock.advance(100_000);
  expect([accrual.state, clock.pending]).toEqual(["ejected", 0]);
});
