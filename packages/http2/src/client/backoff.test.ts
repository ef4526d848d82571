import { expect, test } from "vitest";
import { backoffMs, resolveBackoff } from "./backoff.js";

test("the wait doubles from the least to the most, plus jitter, and never exceeds the most", () => {
  const config = resolveBackoff();
  const waits = [1, 2, 3, 9, 10, 11, 5_000].map((failures) => backoffMs(config, failures, 0));
  expect(waits).toEqual([100, 200, 400, 25_600, 51_200, 60_000, 60_000]);
  expect(backoffMs(config, 1, 0.5)).toBe(105);
  expect(backoffMs(config, 11, 0.999)).toBe(60_000);
});

test.each([
  [{ minMs: 200, maxMs: 100 }, "x.minMs must be between 0 and x.maxMs (100), got 200"],
  [{ maxMs: 0 }, "x.maxMs must be above 0 and finite, got 0"],
  [{ jitter: Number.NaN }, "x.jitter must be between 0 and 100, got NaN"],
])("%j is refused", (options, message) => {
  expect(() => resolveBackoff(options, "x")).toThrow(message);
});
