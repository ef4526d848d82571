import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { seededRandom } from "../testing/seeded-random.js";
import { TimerWheel, WheelTimer } from "./timer-wheel.js";

class Timer {
  readonly timer = new WheelTimer(this);
  firedAt: number[] = [];
  readonly #clock: ManualClock;
  readonly #then: () => void;

  constructor(clock: ManualClock, then: () => void = () => {}) {
    this.#clock = clock;
    this.#then = then;
  }

  onTimer(): void {
    this.firedAt.push(this.#clock.now());
    this.#then();
  }
}

test("timers fire once, never early, at most two ticks late, near and far", () => {
  const clock = new ManualClock(123.4);
  const wheel = new TimerWheel(clock);
  const random = seededRandom(7);
  const timers = Array.from({ length: 500 }, () => ({ timer: new Timer(clock), at: clock.now() + random() * 20_000 }));
  for (const { timer, at } of timers) wheel.set(timer.timer, at);
  clock.advance(21_000);
  for (const { timer, at } of timers) {
    expect(timer.firedAt).toHaveLength(1);
    expect(timer.firedAt[0]).toBeGreaterThanOrEqual(at);
    expect(timer.firedAt[0]! - at).toBeLessThanOrEqual(20);
  }
  expect(wheel.size).toBe(0);
});

test("a canceled timer does not fire, and can be set again", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const timer = new Timer(clock);
  wheel.set(timer.timer, clock.now() + 50);
  wheel.cancel(timer.timer);
  wheel.cancel(timer.timer);
  clock.advance(100);
  expect(timer.firedAt).toEqual([]);
  wheel.set(timer.timer, clock.now() + 50);
  wheel.set(timer.timer, clock.now() + 500);
  clock.advance(400);
  expect(timer.firedAt).toEqual([]);
  clock.advance(200);
  expect(timer.firedAt).toHaveLength(1);
});

test("what fires may cancel what is due at the same time, and set itself again", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const victim = new Timer(clock);
  const first = new Timer(clock, () => {
    wheel.cancel(victim.timer);
    if (first.firedAt.length < 3) wheel.set(first.timer, clock.now());
  });
  wheel.set(first.timer, clock.now() + 20);
  wheel.set(victim.timer, clock.now() + 20);
  clock.advance(200);
  expect(first.firedAt).toHaveLength(3);
  expect(victim.firedAt).toEqual([]);
});

test("after the process was stopped for long everything due fires, and nothing else", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const due = Array.from({ length: 20 }, (_, i) => new Timer(clock, () => void i));
  due.forEach((timer, i) => {
    wheel.set(timer.timer, clock.now() + i * 1_000);
  });
  const later = new Timer(clock);
  wheel.set(later.timer, clock.now() + 60_000);
  clock.jump(30_000);
  clock.advance(0);
  expect(due.every((timer) => timer.firedAt.length === 1)).toBe(true);
  expect(later.firedAt).toEqual([]);
});

test("it sleeps while nothing waits, and hardly wakes for what is far", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  expect(clock.pending).toBe(0);
  wheel.set(new Timer(clock).timer, clock.now() + 30);
  wheel.set(new Timer(clock).timer, clock.now() + 30);
  expect(clock.pending).toBe(1);
  clock.advance(100);
  expect(clock.pending).toBe(0);
  const timer = new Timer(clock);
  wheel.set(timer.timer, clock.now() + 60_000);
  let wakes = 0;
  const counting = clock.setTimer.bind(clock);
  clock.setTimer = (callback, delayMs) => {
    wakes++;
    return counting(callback, delayMs);
  };
  clock.advance(50_000);
  expect([timer.firedAt, wakes <= 20]).toEqual([[], true]);
  wheel.close();
  expect([clock.pending, wheel.size]).toEqual([0, 0]);
});

test("a nearer timer that is set later is not late", () => {
  const clock = new ManualClock();
  const wheel = new TimerWheel(clock);
  const [far, near] = [new Timer(clock), new Timer(clock)];
  wheel.set(far.timer, clock.now() + 4_000);
  clock.advance(1_000);
  const at = clock.now() + 100;
  wheel.set(near.timer, at);
  clock.advance(5_000);
  expect(near.firedAt[0]! - at).toBeLessThanOrEqual(20);
  expect(far.firedAt).toHaveLength(1);
});
