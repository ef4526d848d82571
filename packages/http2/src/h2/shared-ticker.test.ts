import { expect, it } from "vitest";
import { SharedTicker } from "./shared-ticker.js";
import { HandTicker } from "./test-peer.js";

function shared() {
  const timers = new HandTicker();
  const calls: string[] = [];
  return { timers, calls, ticker: new SharedTicker(timers) };
}

it("calls all of one pace by one timer, which ends with the last of them", () => {
  const { timers, calls, ticker } = shared();
  const a = ticker.set(() => calls.push("a"), 1_000);
  const b = ticker.set(() => calls.push("b"), 1_000);
  expect(timers.running).toBe(1);
  timers.pass(2_000);
  expect(calls).toEqual(["a", "b", "a", "b"]);
  ticker.clear(a);
  ticker.clear(a);
  calls.length = 0;
  timers.pass(1_000);
  expect(calls).toEqual(["b"]);
  ticker.clear(b);
  expect(timers.running).toBe(0);
  ticker.set(() => calls.push("c"), 1_000);
  timers.pass(1_000);
  expect(calls).toEqual(["b", "c"]);
});

it("has a timer for each pace", () => {
  const { timers, ticker } = shared();
  const second = ticker.set(() => {}, 1_000);
  ticker.set(() => {}, 5_000);
  expect(timers.running).toBe(2);
  ticker.clear(second);
  expect(timers.running).toBe(1);
});

it("lets one that ticks end itself and others", () => {
  const { timers, calls, ticker } = shared();
  const first: unknown = ticker.set(() => {
    calls.push("first");
    ticker.clear(first);
    ticker.clear(second);
  }, 1_000);
  const second = ticker.set(() => calls.push("second"), 1_000);
  timers.pass(2_000);
  expect([calls, timers.running]).toEqual([["first"], 0]);
});
