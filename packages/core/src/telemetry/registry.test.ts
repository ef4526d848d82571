import { expect, test } from "vitest";
import { renderPrometheus } from "./prometheus.js";
import { overflowLabel, Registry } from "./registry.js";

const definition = { name: "n_total", kind: "counter", help: "N.", labels: ["a"] } as const;

test("the same labels are the same series", () => {
  const family = new Registry().counter(definition);
  expect(family.with("x")).toBe(family.with("x"));
  expect(family.with("x")).not.toBe(family.with("y"));
});

test("a series disappears after 10 idle minutes, and begins anew with the next record", () => {
  const registry = new Registry();
  const family = registry.counter(definition);
  const series = family.with("x");
  series.increment(5);
  registry.sweep(0);
  registry.sweep(599_999);
  expect(renderPrometheus(registry)).toContain('n_total{a="x"} 5');
  registry.sweep(600_000);
  expect(renderPrometheus(registry)).toBe("");
  series.increment();
  expect(renderPrometheus(registry)).toContain('n_total{a="x"} 1');
  expect(family.with("x")).toBe(series);
});

test("a gauge that isn't 0 does not expire", () => {
  const registry = new Registry();
  const gauge = registry.gauge({ name: "g", kind: "gauge", help: "G.", labels: [] }).with();
  gauge.add(1);
  for (const now of [0, 600_000, 1_200_000]) registry.sweep(now);
  expect(renderPrometheus(registry)).toContain("g 1");
  gauge.add(-1);
  for (const now of [1_300_000, 2_000_000]) registry.sweep(now);
  expect(renderPrometheus(registry)).toBe("");
});

test("beyond the limit new label sets are counted together, and room is made by expiry", () => {
  const registry = new Registry({ maxSeries: 2 });
  const family = registry.counter(definition);
  for (const label of ["a", "b", "c", "d"]) family.with(label).increment();
  expect(renderPrometheus(registry)).toContain(`n_total{${overflowLabel}="true"} 2`);
  registry.sweep(0);
  registry.sweep(600_000);
  family.with("e").increment();
  expect(renderPrometheus(registry)).toContain('n_total{a="e"} 1');
});

test("wrong label counts and names that are taken are refused", () => {
  const registry = new Registry();
  const family = registry.counter(definition);
  expect(() => family.with()).toThrow("n_total has the labels a, got 0 values");
  expect(() => registry.counter(definition)).toThrow("n_total is registered already");
});
