import { expect, test } from "vitest";
import { formatGrpcTimeout, parseGrpcTimeout } from "./grpc-timeout.js";

test.each([
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3_000],
  ["4m", 4],
  ["500u", 0.5],
  ["1000000n", 1],
  ["0m", 0],
  ["99999999m", 99_999_999],
  ["100000000m", -1],
  ["1", -1],
  ["m", -1],
  ["-1m", -1],
  ["1s", -1],
  [" 1m", -1],
])("%j is %d ms", (value, ms) => {
  expect(parseGrpcTimeout(value)).toBeCloseTo(ms, 9);
});

test("what is written is read as at most the same, within a millisecond, or a second for days", () => {
  for (const ms of [0, 0.4, 1, 99.7, 1_234.5, 99_999, 100_000.6, 99_999_999]) {
    const read = parseGrpcTimeout(formatGrpcTimeout(ms));
    expect(read).toBeLessThanOrEqual(ms);
    expect(ms - read).toBeLessThan(1);
  }
  expect(formatGrpcTimeout(1e12)).toBe("99999999S");
});
