import { expect, test } from "vitest";
import { Histogram } from "./histogram.js";

test("a value belongs to the first bucket whose bound it does not exceed", () => {
  const histogram = new Histogram([1, 2, 4]);
  for (const value of [0, 1, 1.5, 2, 4, 4.1]) histogram.observe(value);
  expect([...histogram.counts]).toEqual([2, 2, 1, 1]);
  expect([histogram.count, histogram.sum]).toEqual([6, 12.6]);
});

test("quantiles are interpolated within a bucket", () => {
  const histogram = new Histogram([1, 2, 4]);
  for (let i = 0; i < 10; i++) histogram.observe(1.5);
  expect(histogram.quantile(0.5)).toBe(1.5);
  expect(histogram.quantile(1)).toBe(2);
  for (let i = 0; i < 10; i++) histogram.observe(3);
  expect(histogram.quantile(0.75)).toBe(3);
});

test("a quantile beyond the last bound is that bound, and without values there is none", () => {
  const histogram = new Histogram([1]);
  expect(histogram.quantile(0.5)).toBeNaN();
  histogram.observe(9);
  expect(histogram.quantile(0.99)).toBe(1);
});
