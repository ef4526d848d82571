import { expect, test } from "vitest";
import { SampleWindow } from "./sample-window.js";

test("the median of what was added since it was cleared", () => {
  const window = new SampleWindow();
  expect(window.median()).toBeNaN();
  for (const value of [9, 1, 5]) window.add(value);
  expect([window.median(), window.count]).toEqual([5, 3]);
  window.clear();
  for (const value of [30, 10, 20, 40]) window.add(value);
  expect([window.median(), window.count]).toEqual([30, 4]);
});

test("of many samples it keeps some, evenly", () => {
  const window = new SampleWindow();
  for (let i = 0; i < 100_000; i++) window.add(i);
  expect(window.count).toBe(100_000);
  expect(window.median()).toBeGreaterThan(49_000);
  expect(window.median()).toBeLessThan(51_000);
  window.clear();
  for (let i = 0; i < 3; i++) window.add(i);
  expect(window.median()).toBe(1);
});
