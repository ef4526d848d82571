import type { Clock } from "../runtime/clock.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import type { Registry } from "./registry.js";

const intervalMs = 60_000;

/** Has a registry forget idle series, once a minute. */
export class IdleSweep implements TimerOwner {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #timer = new WheelTimer(this);

  constructor(registry: Registry, clock: Clock, wheel: TimerWheel) {
    this.#registry = registry;
    this.#clock = clock;
    this.#wheel = wheel;
    wheel.set(this.#timer, clock.now() + intervalMs);
  }

  onTimer(): void {
    this.#registry.sweep(this.#clock.now());
    this.#wheel.set(this.#timer, this.#clock.now() + intervalMs);
  }

  close(): void {
    this.#wheel.cancel(this.#timer);
  }
}
