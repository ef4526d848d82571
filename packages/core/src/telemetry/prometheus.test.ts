import { expect, test } from "vitest";
import { renderPrometheus } from "./prometheus.js";
import { Registry } from "./registry.js";

test("counters, gauges and observed values are written with help, type and escaped labels", () => {
  const registry = new Registry();
  const hits = registry.counter({ name: "hits_total", kind: "counter", help: "a \\ b\nc", labels: ["path", "code"] });
  hits.with('a"b\\c\nd', "").increment(3);
  const depth = registry.gauge({ name: "depth", kind: "gauge", help: "Depth.", labels: [] });
  depth.with().set(-1.5);
  const forget = depth.observe([], () => Number.POSITIVE_INFINITY);
  registry.gauge({ name: "unused", kind: "gauge", help: "", labels: [] });
  expect(renderPrometheus(registry)).toBe(`# HELP hits_total a \\\\ b\\nc
# TYPE hits_total counter
hits_total{path="a\\"b\\\\c\\nd"} 3
# HELP depth Depth.
# TYPE depth gauge
depth -1.5
depth +Inf
`);
  forget();
  expect(renderPrometheus(registry)).not.toContain("+Inf");
});

test("histograms are cumulative, with sum and count", () => {
  const registry = new Registry();
  const family = registry.histogram({
    name: "t_seconds",
    kind: "histogram",
    help: "T.",
    labels: ["a"],
    bounds: [0.1, 1],
  });
  const series = family.with("x");
  for (const value of [0.05, 0.1, 0.5, 7]) series.observe(value);
  expect(renderPrometheus(registry)).toBe(`# HELP t_seconds T.
# TYPE t_seconds histogram
t_seconds_bucket{a="x",le="0.1"} 2
t_seconds_bucket{a="x",le="1"} 3
t_seconds_bucket{a="x",le="+Inf"} 4
t_seconds_sum{a="x"} 7.65
t_seconds_count{a="x"} 4
`);
});
