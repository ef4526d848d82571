import { expect, test } from "vitest";
import { PeakEwma } from "./peak-ewma.js";

test("before anything is known the load is 30 ms", () => {
  expect(new PeakEwma(0).load(0)).toBe(30);
});

test("a slower answer counts at once, a faster one by and by", () => {
  const ewma = new PeakEwma(0);
  ewma.start();
  ewma.finish(100, 0);
  expect(ewma.estimateMs).toBe(100);
  ewma.start();
  ewma.finish(20, 10_000);
  expect(ewma.estimateMs).toBeCloseTo(100 * Math.exp(-1) + 20 * (1 - Math.exp(-1)), 10);
});

test("the load is multiplied by the exchanges that have not answered, plus one", () => {
  const ewma = new PeakEwma(0);
  ewma.start();
  ewma.start();
  expect(ewma.load(0)).toBe(90);
});

test("without traffic the load decays towards zero", () => {
  const ewma = new PeakEwma(0);
  expect(ewma.load(10_000)).toBeCloseTo(30 / Math.E, 10);
  expect(ewma.load(20_000)).toBeCloseTo(30 / Math.E ** 2, 10);
  expect(ewma.load(1_000_000)).toBeLessThan(1e-6);
});

test("giving up soon is no proof of being fast", () => {
  const ewma = new PeakEwma(0);
  ewma.start();
  ewma.giveUp(1, 5_000);
  // As if nobody had asked.
  expect(ewma.estimateMs).toBeCloseTo(30 * Math.exp(-0.5), 10);
  ewma.start();
  ewma.giveUp(800, 6_000);
  expect([ewma.estimateMs, ewma.pending]).toEqual([800, 0]);
});

test("a clock that stands still or steps back changes nothing but peaks", () => {
  const ewma = new PeakEwma(1_000);
  ewma.start();
  ewma.finish(5, 900);
  expect(ewma.estimateMs).toBe(30);
  expect(ewma.load(1_000)).toBe(30);
});
