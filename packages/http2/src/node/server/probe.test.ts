import { expect, test } from "vitest";
import { seamReport } from "./probe.js";

test("the seam works on the Node that runs, check by check", () => {
  const failed = seamReport().checks.filter((check) => !check.ok);
  expect(failed).toEqual([]);
  expect(seamReport().ok).toBe(true);
  expect(seamReport().checks.length).toBeGreaterThanOrEqual(20);
});

test("the seam is tried once a process", () => {
  expect(seamReport()).toBe(seamReport());
});
