import { expect, test } from "vitest";
import { backoffMs } from "./backoff.js";

test("waits double from the minimum to the maximum, with jitter on top, never above the maximum", () => {
  const config = { minMs: 25, maxMs: 250, jitter: 1 };
  expect([0, 1, 2, 3, 4, 50].map((n) => backoffMs(config, n, () => 0))).toEqual([25, 50, 100, 200, 250, 250]);
  expect([0, 1, 2, 3, 4].map((n) => backoffMs(config, n, () => 0.5))).toEqual([37.5, 75, 150, 250, 250]);
});

test("without jitter chance has no part", () => {
  expect(backoffMs({ minMs: 100, maxMs: 1_000, jitter: 0 }, 1, () => 0.99)).toBe(200);
});
