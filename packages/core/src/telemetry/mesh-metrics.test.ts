import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { serviceMetricDefinitions } from "../identity-service/identity-service-metrics.js";
import { identityMetricDefinitions } from "../mesh/identity-metrics.js";
import { MeshMetrics, metricDefinitions } from "./mesh-metrics.js";
import { Registry } from "./registry.js";

test("docs/metrics.md lists every metric with its type and labels, and no other", () => {
  const page = readFileSync(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
  const documented = [...page.matchAll(/^\| `([a-z_]+)` \| (\w+) \| (.*)\|$/gm)].map(([, name, kind, labels]) => ({
    name,
    kind,
    labels: [...labels!.matchAll(/`(\w+)`/g)].map(([, label]) => label),
  }));
  const registry = new Registry();
  new MeshMetrics(registry);
  for (const definition of [...Object.values(identityMetricDefinitions), ...Object.values(serviceMetricDefinitions)]) {
    if (definition.kind === "counter") registry.counter(definition);
    else registry.gauge(definition);
  }
  const registered = [...registry.families()].map(({ definition: { name, kind, labels } }) => ({ name, kind, labels }));
  const byName = (a: { name?: string | undefined }, b: { name?: string | undefined }) => a.name!.localeCompare(b.name!);
  expect(documented.sort(byName)).toEqual(registered.sort(byName));
});

test("names say their type and unit", () => {
  for (const { name, kind } of Object.values(metricDefinitions)) {
    expect(name.endsWith("_total")).toBe(kind === "counter");
    if (kind === "histogram") expect(name).toMatch(/_seconds$/);
  }
});
