import { expect, test } from "vitest";
import { goldenMetrics } from "./golden.js";
import { MeshMetrics } from "./mesh-metrics.js";
import { Meter } from "./meter.js";
import { Registry } from "./registry.js";

test("an edge has its requests, success before and after retries, and quantiles", () => {
  const metrics = new MeshMetrics(new Registry());
  const meter = new Meter(metrics.clientDuration, "inventory.shop", "spiffe://prod/inventory");
  for (let i = 0; i < 90; i++) meter.answered("GET", "1.1", 200, false, -1, 0.004);
  for (let i = 0; i < 9; i++) meter.answered("POST", "1.1", 503, false, -1, 0.08);
  meter.failed("GET", "1.1", 499, -1, "SELVAGE_ERR_ABORTED", "not_counted", 0.2);
  metrics.attempts.with("inventory.shop", "success").increment(90);
  metrics.attempts.with("inventory.shop", "failure").increment(30);
  new Meter(metrics.serverDuration, "storefront", "").answered("GET", "2.0", 200, false, -1, 1);

  const [outbound, inbound] = goldenMetrics(metrics);
  expect(outbound).toMatchObject({
    direction: "outbound",
    authority: "inventory.shop",
    peer: "spiffe://prod/inventory",
    requests: 100,
    successRate: 90 / 99,
    attemptSuccessRate: 0.75,
  });
  expect(outbound!.p50Ms).toBeCloseTo(2.78, 2);
  expect(outbound!.p99Ms).toBeCloseTo(100, 5);
  expect(inbound).toMatchObject({
    direction: "inbound",
    authority: "storefront",
    requests: 1,
    attemptSuccessRate: null,
  });
});
