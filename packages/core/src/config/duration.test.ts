import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatDuration, parseDuration } from "./duration.js";

describe("durations", () => {
  test.each([
    ["300ms", 300],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h30m", 5_400_000],
    ["1m0.5s", 60_500],
    ["24h", 86_400_000],
    ["0", 0],
    ["0s", 0],
    [250, 250],
    [0, 0],
  ])("%s is %i ms", (value, ms) => {
    expect(parseDuration(value)).toBe(ms);
  });

  test.each([
    "",
    "300",
    "s",
    "1 s",
    "-1s",
    "1d",
    "1.s",
    ".5s",
    "1..5s",
    "1s2",
    "1constructor",
    "ms1",
    "1e3ms",
    "0x1s",
    " 1s",
  ])("refuses %j", (value) => {
    expect(parseDuration(value)).toMatchObject({ problem: "must be a duration" });
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY])("refuses the number %s", (value) => {
    expect(parseDuration(value)).toMatchObject({ problem: "must be a duration" });
  });

  test("refuses what Node's timers can't hold", () => {
    expect(parseDuration("25h")).toBe(90_000_000);
    expect(parseDuration("600h")).toMatchObject({ problem: "must be at most 24 days" });
  });

  test("what is formatted reads back the same", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2_147_483_647 }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBeCloseTo(ms, 3);
      }),
    );
  });
});
