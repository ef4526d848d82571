import type { FailureAccrualConfig } from "../config/config.js";
import type { Clock } from "../runtime/clock.js";
import type { Random } from "../runtime/random.js";
import { type TimerOwner, type TimerWheel, WheelTimer } from "../runtime/timer-wheel.js";
import { backoffMs } from "./backoff.js";
import { SuccessRateWindow } from "./success-rate-window.js";

/**
 * - `available`: gets its share of the load.
 * - `ejected`: has failed too often, and gets nothing until its backoff is over.
 * - `probing`: gets one exchange, whose outcome decides.
 */
export type EndpointState = "available" | "ejected" | "probing";

/** Linkerd's numbers, with the success rate off as there. */
export const failureAccrualDefaults: FailureAccrualConfig = Object.freeze({
  consecutiveFailures: 7,
  minPenaltyMs: 1_000,
  maxPenaltyMs: 60_000,
  jitter: 0.5,
  successRate: null,
});

export interface FailureAccrualListener {
  /** The state changed, or the probe was taken or given back. */
  accrualChanged(): void;
}

/**
 * Ejects an endpoint that keeps failing, and lets it back in after one exchange went well: elsewhere called a circuit
 * breaker. Answers that arrive while it is ejected don't count.
 */
export class FailureAccrual implements TimerOwner {
  readonly #config: FailureAccrualConfig;
  readonly #clock: Clock;
  readonly #wheel: TimerWheel;
  readonly #random: Random;
  readonly #listener: FailureAccrualListener;
  readonly #window: SuccessRateWindow | null;
  readonly #timer = new WheelTimer(this);
  #state: EndpointState = "available";
  #failuresInARow = 0;
  #ejections = 0;
  #probeTaken = false;
  #closed = false;

  constructor(
    config: FailureAccrualConfig,
    clock: Clock,
    wheel: TimerWheel,
    random: Random,
    listener: FailureAccrualListener,
  ) {
    this.#config = config;
    this.#clock = clock;
    this.#wheel = wheel;
    this.#random = random;
    this.#listener = listener;
    this.#window = config.successRate === null ? null : new SuccessRateWindow(clock.now(), config.successRate.windowMs);
  }

  get state(): EndpointState {
    return this.#state;
  }

  /** Whether the balancer may choose the endpoint. */
  get ready(): boolean {
    return this.#state === "available" || (this.#state === "probing" && !this.#probeTaken);
  }

  /** To be called when an exchange starts: true when it is the probe, whose end must then be reported. */
  takeProbe(): boolean {
    if (this.#state !== "probing" || this.#probeTaken) return false;
    this.#probeTaken = true;
    this.#listener.accrualChanged();
    return true;
  }

  /** The probe ended in a way that says nothing about the endpoint: the next exchange is the probe. */
  giveProbeBack(): void {
    if (this.#state !== "probing" || !this.#probeTaken) return;
    this.#probeTaken = false;
    this.#listener.accrualChanged();
  }

  recordSuccess(): void {
    if (this.#state === "ejected") return;
    this.#failuresInARow = 0;
    if (this.#state === "probing") {
      this.#ejections = 0;
      this.#window?.clear(this.#clock.now());
      this.#enter("available");
    } else if (this.#window !== null) {
      this.#recordRate(true);
    }
  }

  recordFailure(): void {
    if (this.#state === "ejected") return;
    if (this.#state === "probing") {
      this.#eject();
      return;
    }
    this.#failuresInARow++;
    if (this.#failuresInARow === this.#config.consecutiveFailures) this.#eject();
    else if (this.#window !== null) this.#recordRate(false);
  }

  /** The endpoint said that it gets too much: counts for the rate and for a probe, not for failures in a row. */
  recordRateLimited(): void {
    if (this.#state === "probing") this.#eject();
    else if (this.#state === "available" && this.#window !== null) this.#recordRate(false);
  }

  onTimer(): void {
    this.#probeTaken = false;
    this.#enter("probing");
  }

  /** The endpoint is gone: nothing changes any more. */
  close(): void {
    this.#closed = true;
    this.#wheel.cancel(this.#timer);
  }

  #recordRate(success: boolean): void {
    const now = this.#clock.now();
    this.#window!.record(success, now);
    const { threshold, minRequests } = this.#config.successRate!;
    if (this.#window!.rate(minRequests, now) < threshold) this.#eject();
  }

  #eject(): void {
    if (this.#closed) return;
    const { minPenaltyMs, maxPenaltyMs, jitter } = this.#config;
    const backoff = { minMs: minPenaltyMs, maxMs: maxPenaltyMs, jitter };
    this.#wheel.set(this.#timer, this.#clock.now() + backoffMs(backoff, this.#ejections, this.#random));
    this.#ejections++;
    this.#failuresInARow = 0;
    this.#window?.clear(this.#clock.now());
    this.#enter("ejected");
  }

  #enter(state: EndpointState): void {
    this.#state = state;
    this.#listener.accrualChanged();
  }
}
