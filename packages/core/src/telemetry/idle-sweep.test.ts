import { expect, test } from "vitest";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { ManualClock } from "../testing/manual-clock.js";
import { IdleSweep } from "./idle-sweep.js";
import { renderPrometheus } from "./prometheus.js";
import { Registry } from "./registry.js";

test("an idle series is gone within 12 minutes, one in use stays", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const registry = new Registry();
  const family = registry.counter({ name: "n_total", kind: "counter", help: "N.", labels: ["a"] });
  const [busy, idle] = [family.with("busy"), family.with("idle")];
  idle.increment();
  const sweep = new IdleSweep(registry, clock, wheel);
  for (let minute = 0; minute < 12; minute++) {
    busy.increment();
    if (minute === 9) expect(renderPrometheus(registry)).toContain("idle");
    clock.advance(60_000);
  }
  expect(renderPrometheus(registry)).toContain('n_total{a="busy"} 12');
  expect(renderPrometheus(registry)).not.toContain("idle");
  sweep.close();
  expect(wheel.size).toBe(0);
});
