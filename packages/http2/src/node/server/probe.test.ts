import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { Server } from "node:http";
import { expect, test } from "vitest";
import { probe, seamReport } from "./probe.js";

test("the seam works on the Node that runs, check by check", () => {
  const failed = seamReport().checks.filter((check) => !check.ok);
  expect(failed).toEqual([]);
  expect(seamReport().ok).toBe(true);
  expect(seamReport().checks.length).toBeGreaterThanOrEqual(20);
});

test("the seam is tried once a process", () => {
  expect(seamReport()).toBe(seamReport());
});

test("telemetry doesn't take the self-test for traffic", () => {
  const heard: unknown[] = [];
  const hear = (message: unknown): void => {
    heard.push(message);
  };
  subscribe("http.server.request.start", hear);
  const { emit } = Server.prototype;
  Server.prototype.emit = function (this: Server, event: string, ...args: unknown[]) {
    heard.push(event);
    return emit.apply(this, [event, ...args] as never);
  } as never;
  try {
    expect(probe().ok).toBe(true);
  } finally {
    Server.prototype.emit = emit;
    unsubscribe("http.server.request.start", hear);
  }
  expect(heard).toEqual([]);
});
