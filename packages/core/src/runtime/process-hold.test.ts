import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { MeshExchange } from "../exchange.js";
import { MeasureLayer } from "../layers/measure.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { Registry } from "../telemetry/registry.js";
import { systemClock } from "./clock.js";
import { ProcessHold } from "./process-hold.js";

/** Timers that keep this process alive. */
function timers(): number {
  return process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
}

test("the process is kept alive while something is held, and only then", () => {
  const before = timers();
  const hold = new ProcessHold();
  expect(timers()).toBe(before);
  hold.hold();
  expect(timers()).toBe(before + 1);
  hold.release();
  expect(timers()).toBe(before);
  hold.hold();
  expect(timers()).toBe(before + 1);
  hold.release();
});

test("outbound exchanges keep the process alive until the last of them has ended", () => {
  const before = timers();
  const inner = new ScriptedService(null);
  const service = new MeasureLayer({
    direction: "outbound",
    clock: systemClock,
    metrics: new MeshMetrics(new Registry()),
    serverAddress: "",
    hold: new ProcessHold(),
  }).wrap(inner);
  const sinks = [new RecordingSink(), new RecordingSink()];
  for (const sink of sinks) service.call(new MeshExchange("outbound"), sink);
  expect(timers()).toBe(before + 1);
  for (const call of inner.calls) {
    expect(timers()).toBe(before + 1);
    call.answer({ status: 204 });
  }
  expect(timers()).toBe(before);
});
