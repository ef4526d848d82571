import type { Clock } from "./clock.js";

/**
 * Something that can wait in a timer wheel: a base class, because the links live in the waiting object itself. A Map or
 * Set of waiting objects would be promoted to old space whenever it rests, and cost milliseconds at p99.
 *
 * One object waits in one wheel for one instant at a time.
 */
export abstract class WheelTimer {
  /** The wheel's own. */
  wheelPrevious: WheelTimer | null = null;
  /** The wheel's own. */
  wheelNext: WheelTimer | null = null;
  /** The wheel's own. */
  wheelTick = 0;

  /** Time is over. The object is out of the wheel by then, and may be set again from here. */
  abstract onTimer(): void;
}

/** The fixed head of a circular list, so that links are never null while something waits. */
class Slot extends WheelTimer {
  constructor() {
    super();
    this.wheelPrevious = this;
    this.wheelNext = this;
  }

  onTimer(): void {}
}

export interface TimerWheelOptions {
  /** Resolution. A timer never fires early, and about this much late. @defaultValue 10 */
  readonly tickMs?: number;
}

const slotCount = 512;

/**
 * One coarse timer for all deadlines: setting and cancelling cost a few pointer writes, however many wait.
 *
 * Sleeps while nothing waits, and never keeps the process alive.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: Slot[] = Array.from({ length: slotCount }, () => new Slot());
  readonly #expired = new Slot();
  readonly #turn = () => this.#advance();
  #tick: number;
  #size = 0;
  #turnTimer: unknown = null;

  constructor(clock: Clock, options: TimerWheelOptions = {}) {
    this.#clock = clock;
    this.#tickMs = options.tickMs ?? 10;
    this.#tick = Math.floor(clock.now() / this.#tickMs);
  }

  /** How many wait. */
  get size(): number {
    return this.#size;
  }

  /** Sets (or sets anew) a timer for an instant of the clock. `Infinity` is not a time: don't set such a timer. */
  set(timer: WheelTimer, at: number): void {
    if (timer.wheelNext !== null) this.cancel(timer);
    if (this.#turnTimer === null) {
      this.#tick = Math.floor(this.#clock.now() / this.#tickMs);
      this.#turnTimer = this.#clock.setTimer(this.#turn, this.#tickMs);
    }
    // The tick that is being worked off does not come again: the next one is the earliest.
    const tick = Math.max(Math.ceil(at / this.#tickMs), this.#tick + 1);
    timer.wheelTick = tick;
    this.#size++;
    link(timer, this.#slots[tick % slotCount]!);
  }

  /** Forgets a timer. Does nothing when it isn't set. */
  cancel(timer: WheelTimer): void {
    if (timer.wheelNext === null) return;
    this.#size--;
    unlink(timer);
  }

  /** Forgets the pending turn and with it all timers. */
  close(): void {
    this.#stop();
    for (const slot of this.#slots) {
      while (slot.wheelNext !== slot) this.cancel(slot.wheelNext!);
    }
  }

  #advance(): void {
    const now = Math.floor(this.#clock.now() / this.#tickMs);
    // After a long sleep each slot needs to be looked at once only.
    const steps = Math.min(now - this.#tick, slotCount);
    for (let i = 1; i <= steps; i++) {
      const slot = this.#slots[(now - steps + i) % slotCount]!;
      for (let timer = slot.wheelNext!; timer !== slot; ) {
        const next = timer.wheelNext!;
        if (timer.wheelTick <= now) {
          unlink(timer);
          link(timer, this.#expired);
        }
        timer = next;
      }
    }
    if (now > this.#tick) this.#tick = now;
    // Set before timers fire, so that what they set does not schedule a second turn.
    this.#turnTimer = this.#clock.setTimer(this.#turn, this.#tickMs);
    while (this.#expired.wheelNext !== this.#expired) {
      const timer = this.#expired.wheelNext!;
      this.cancel(timer);
      timer.onTimer();
    }
    if (this.#size === 0) this.#stop();
  }

  #stop(): void {
    if (this.#turnTimer !== null) this.#clock.clearTimer(this.#turnTimer);
    this.#turnTimer = null;
  }
}

function link(timer: WheelTimer, slot: Slot): void {
  const last = slot.wheelPrevious!;
  timer.wheelPrevious = last;
  timer.wheelNext = slot;
  last.wheelNext = timer;
  slot.wheelPrevious = timer;
}

function unlink(timer: WheelTimer): void {
  timer.wheelPrevious!.wheelNext = timer.wheelNext;
  timer.wheelNext!.wheelPrevious = timer.wheelPrevious;
  timer.wheelPrevious = null;
  timer.wheelNext = null;
}
