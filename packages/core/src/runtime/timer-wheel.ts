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
 * Sleeps while nothing waits, and never keeps the process alive.
 */
export class TimerWheel {
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #slots: readonly WheelTimer[] = Array.from({ length: slotCount }, emptySlot);
  readonly #expired = emptySlot();
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
    if (timer.next !== null) this.cancel(timer);
    if (this.#turnTimer === null) {
      this.#tick = Math.floor(this.#clock.now() / this.#tickMs);
      this.#turnTimer = this.#clock.setTimer(this.#turn, this.#tickMs);
    }
    // The tick that is being worked off does not come again: the next one is the earliest.
    const tick = Math.max(Math.ceil(at / this.#tickMs), this.#tick + 1);
    timer.tick = tick;
    this.#size++;
    link(timer, this.#slots[tick % slotCount]!);
  }

  /** Forgets a timer. Does nothing when it isn't set. */
  cancel(timer: WheelTimer): void {
    if (timer.next === null) return;
    this.#size--;
    unlink(timer);
  }

  /** Forgets the pending turn and with it all timers. */
  close(): void {
    this.#stop();
    for (const slot of this.#slots) {
      while (slot.next !== slot) this.cancel(slot.next!);
    }
  }

  #advance(): void {
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
    // Set before timers fire, so that what they set does not schedule a second turn.
    this.#turnTimer = this.#clock.setTimer(this.#turn, this.#tickMs);
    while (this.#expired.next !== this.#expired) {
      const timer = this.#expired.next!;
      this.cancel(timer);
      timer.owner.onTimer();
    }
    if (this.#size === 0) this.#stop();
  }

  #stop(): void {
    if (this.#turnTimer !== null) this.#clock.clearTimer(this.#turnTimer);
    this.#turnTimer = null;
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
