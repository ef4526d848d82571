import { expect, test } from "vitest";
import type { Clock } from "./clock.js";
import { Sweep } from "./sweep.js";

class ManualClock implements Clock {
  time = 0;
  timer: { readonly callback: () => void; readonly at: number } | null = null;
  armed = 0;

  now(): number {
    return this.time;
  }

  epoch(): number {
    return this.time;
  }

  setTimer(callback: () => void, delayMs: number): unknown {
    this.armed++;
    this.timer = { callback, at: this.time + delayMs };
    return this.timer;
  }

  clearTimer(timer: unknown): void {
    if (this.timer === timer) this.timer = null;
  }

  advance(to: number): void {
    for (let timer = this.timer; timer !== null && timer.at <= to; timer = this.timer) {
      this.timer = null;
      this.time = timer.at;
      timer.callback();
    }
    this.time = to;
  }
}

function sweepOf(granularityMs: number, visit: (now: number) => number = () => Number.POSITIVE_INFINITY) {
  const clock = new ManualClock();
  const visits: number[] = [];
  const sweep = new Sweep(clock, granularityMs, (now) => {
    visits.push(now);
    return visit(now);
  });
  return { clock, visits, sweep };
}

test("it visits at the earliest deadline, and again when the visit asks for it", () => {
  const { clock, visits, sweep } = sweepOf(10, (now) => (now < 500 ? now + 100 : Number.POSITIVE_INFINITY));
  sweep.by(400);
  sweep.by(300);
  sweep.by(600);
  clock.advance(2_000);
  expect(visits).toEqual([300, 400, 500]);
});

test("deadlines that are close together share a visit, and a stream of them doesn't put it off", () => {
  const { clock, visits, sweep } = sweepOf(50);
  for (let at = 0; at < 50; at += 5) {
    clock.advance(at);
    sweep.by(at + 1);
  }
  clock.advance(1_000);
  expect(visits).toEqual([50]);
});

test("later deadlines don't touch the timer, and one that is centuries away is looked at early instead of at once", () => {
  const { clock, visits, sweep } = sweepOf(10);
  sweep.by(1e13);
  for (let i = 0; i < 100; i++) sweep.by(1e13 + i);
  expect(clock.armed).toBe(1);
  clock.advance(60_000);
  expect(visits).toEqual([]);
});

test("nothing happens after stop, nor without a deadline", () => {
  const { clock, visits, sweep } = sweepOf(10);
  sweep.by(Number.POSITIVE_INFINITY);
  sweep.by(100);
  sweep.stop();
  clock.advance(1_000);
  expect(visits).toEqual([]);
});
