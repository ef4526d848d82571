import { expect, test } from "vitest";
import { RetryBudget } from "./retry-budget.js";

function withdrawals(budget: RetryBudget, now: number): number {
  let count = 0;
  while (count < 10_000 && budget.withdraw(now)) count++;
  return count;
}

test("without requests 10 retries per second are allowed, over 10 seconds", () => {
  expect(withdrawals(new RetryBudget(0), 0)).toBe(100);
});

test("20 % of requests may be retried on top", () => {
  const budget = new RetryBudget(0);
  for (let i = 0; i < 1_000; i++) budget.deposit(i);
  expect(budget.available(1_000)).toBe(300);
  expect(withdrawals(budget, 1_000)).toBe(300);
});

test("what was put in, and what was taken out, expires after 10 seconds", () => {
  const budget = new RetryBudget(0, { ratio: 0.5, minPerSecond: 0, ttlMs: 10_000 });
  for (let i = 0; i < 10; i++) budget.deposit(0);
  expect(budget.available(9_000)).toBe(5);
  expect(budget.available(10_000)).toBe(0);
  const reserve = new RetryBudget(0, { ratio: 0.2, minPerSecond: 1, ttlMs: 10_000 });
  expect(withdrawals(reserve, 0)).toBe(10);
  expect(withdrawals(reserve, 9_999)).toBe(0);
  expect(withdrawals(reserve, 10_000)).toBe(10);
});

test.each([
  [0, 100, 0],
  [0.3, 100, 33],
  [1, 100, 100],
  [2, 100, 200],
])("a ratio of %d allows, of %i requests, %i retries", (ratio, requests, retries) => {
  const budget = new RetryBudget(0, { ratio, minPerSecond: 0, ttlMs: 10_000 });
  for (let i = 0; i < requests; i++) budget.deposit(0);
  expect(withdrawals(budget, 0)).toBe(retries);
});

test("a deposit with an older instant counts as of now", () => {
  const budget = new RetryBudget(0, { ratio: 1, minPerSecond: 0, ttlMs: 10_000 });
  budget.deposit(20_000);
  budget.deposit(15_000);
  expect(budget.available(20_000)).toBe(2);
});
