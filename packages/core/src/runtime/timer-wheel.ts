import type { Clock } from "./clock.js";

/** Who is told that time is over. */
export interface TimerOwner {
  /** The timer is out of the wheel by then, and may be set again from here. */
  onTimer(): void;
}

/**
 * A place in a timer wheel: made once by its owner, set and cancelled as often as needed; one instant at a time.
 *
 * The links live in the waiting object, since a Map or Set of waiting objects would be promoted to old space whenever it
 * rests, and cost milliseconds at p99. It is no base class: fields that many subclasses inherit are slow to make in V8 (a
 * microsecond for each object).
 */
export class WheelTimer {
  readonly owner: TimerOwner;
  /** The wheel's own. */
  previous: WheelTimer | null = null;
  /** The wheel's own. */
  next: WheelTimer | null = null;
  /** The wheel's own. */
  tick = 0;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }
}

/** The fixed head of a circular list, so that links are never null while something waits. */
function emptySlot(): WheelTimer {
  const slot = new WheelTimer(nobody);
  slot.previous = slot;
  slot.next = slot;
  return slot;
}

const nobody: TimerOwner = Object.freeze({ onTimer() {} });

export interface TimerWheelOptions {
  /** Resolution. A timer never fires early, and about this much late. @defaultValue 10 */
  readonly tickMs?: number;
}

const slotCount = 512;

/**
 * One coarse timer for all deadlines: setting and cancelling cost a few pointer writes, however many wait.
 *
 * It wakes when something may be due, not at every tick, and never keeps the process alive.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: readonly WheelTimer[] = Array.from({ length: slotCount }, emptySlot);
  readonly #expired = emptySlot();
  readonly #turn = () => this.#advance();
  /** The last tick that was worked off. */
  #tick: number;
  #size = 0;
  #wakeTimer: unknown = null;
  #wakeTick = 0;
  #advancing = false;

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
    if (timer.next !== null) this.cancel(timer);
    // What is worked off does not come again: the next tick is the earliest.
    const tick = Math.max(Math.ceil(at / this.#tickMs), this.#tick + 1);
    timer.tick = tick;
    this.#size++;
    link(timer, this.#slots[tick % slotCount]!);
    if (!this.#advancing && (this.#wakeTimer === null || tick < this.#wakeTick)) this.#wakeAt(tick);
  }

  /** Forgets a timer. Does nothing when it isn't set. */
  cancel(timer: WheelTimer): void {
    if (timer.next === null) return;
    this.#size--;
    unlink(timer);
  }

  /** Forgets all timers. */
  close(): void {
    this.#stop();
    for (const slot of this.#slots) {
      while (slot.next !== slot) this.cancel(slot.next!);
    }
  }

  #advance(): void {
    this.#wakeTimer = null;
    this.#advancing = true;
    const now = Math.floor(this.#clock.now() / this.#tickMs);
    // After a long sleep each slot needs to be looked at once only.
    const steps = Math.min(now - this.#tick, slotCount);
    for (let i = 1; i <= steps; i++) {
      const slot = this.#slots[(now - steps + i) % slotCount]!;
      for (let timer = slot.next!; timer !== slot; ) {
        const next = timer.next!;
        if (timer.tick <= now) {
          unlink(timer);
          link(timer, this.#expired);
        }
        timer = next;
      }
    }
    if (now > this.#tick) this.#tick = now;
    while (this.#expired.next !== this.#expired) {
      const timer = this.#expired.next!;
      this.cancel(timer);
      timer.owner.onTimer();
    }
    this.#advancing = false;
    this.#wakeForNext();
  }

  /** Wakes for the next slot that isn't empty: early, if what is in it is for a later turn of the wheel. */
  #wakeForNext(): void {
    if (this.#size === 0) return;
    for (let i = 1; i <= slotCount; i++) {
      const slot = this.#slots[(this.#tick + i) % slotCount]!;
      if (slot.next !== slot) {
        this.#wakeAt(this.#tick + i);
        return;
      }
    }
  }

  #wakeAt(tick: number): void {
    this.#stop();
    // A far timer is looked at once per turn, so that there is no delay too long for the clock.
    this.#wakeTick = Math.min(tick, Math.floor(this.#clock.now() / this.#tickMs) + slotCount);
    const delayMs = Math.max(0, Math.ceil(this.#wakeTick * this.#tickMs - this.#clock.now()));
    this.#wakeTimer = this.#clock.setTimer(this.#turn, delayMs);
  }

  #stop(): void {
    if (this.#wakeTimer !== null) this.#clock.clearTimer(this.#wakeTimer);
    this.#wakeTimer = null;
  }
}

function link(timer: WheelTimer, slot: WheelTimer): void {
  const last = slot.previous!;
  timer.previous = last;
  timer.next = slot;
  last.next = timer;
  slot.previous = timer;
}

function unlink(timer: WheelTimer): void {
  timer.previous!.next = timer.next;
  timer.next!.previous = timer.previous;
  timer.previous = null;
  timer.next = null;
}
