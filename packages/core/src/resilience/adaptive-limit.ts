import type { AdaptiveLimitConfig } from "../config/inbound-config.js";
import type { Random } from "../runtime/random.js";
import { SampleWindow } from "./sample-window.js";

export interface AdaptiveLimitDescription {
  readonly limit: number;
  /** Requests that wait for the head of their response. */
  readonly waiting: number;
  /** The median of the last window; 0: not known yet. */
  readonly latencyMs: number;
  /** What it is without load; 0: not known yet. */
  readonly baselineMs: number;
  /** The baseline is being measured, at half of the limit. */
  readonly probing: boolean;
}

/** For a process that nobody has measured yet. */
const initialLimit = 100;
/** How much slower than without load is no reason to shrink. */
const tolerance = 1.5;
/** What one window can make of the limit at least, before smoothing. */
const leastGradient = 0.5;
/** How much of the difference to its new value the limit goes in one window. */
const smoothing = 0.5;
/** A window lasts at least so long, and at least so many round trips, so that a change has shown its effect before the next. */
const windowMs = 250;
const windowRoundTrips = 2;
const windowSamples = 100;
/** How old the latency without load may get before it is measured again; up to a fifth more, so that replicas don't do it together. */
const baselineMs = 30_000;
/** Windows in a row at the minimum after which that is done at once: it may be the work that has become slower. */
const windowsAtMin = 5;
/** A window that takes longer than this to fill says nothing about now. */
const staleMs = 30_000;
/** The share of the limit that is left while the latency without load is measured. */
const probeRatio = 0.5;

/**
 * How many requests a workload works on at a time without a standing queue, found out from how long they take: the gradient
 * algorithm of Netflix' concurrency-limits, with the measured minimum of Envoy's adaptive concurrency.
 *
 * Per window, with the median latency of the window and the baseline, which is the latency without load:
 *
 *     gradient = clamp(1.5 × baseline / median, 0.5, 1.5)
 *     limit   += 0.5 × (gradient × limit + √limit − limit)
 *
 * The limit moves only in windows in which at least half of it was in use: what nobody asks for is no measure.
 * It settles where requests take `1.5 / (1 − 1/√limit)` times the baseline: at 100, 1.67 times.
 *
 * The baseline is the lowest median of the last 30 s, among windows in which less than half of the limit was in use. When there
 * was none the limit is halved until enough requests have been measured that began after that, and their median is the
 * baseline. A median below the baseline takes it half the way at once.
 */
export class AdaptiveLimit {
  readonly #min: number;
  readonly #max: number;
  readonly #random: Random;
  readonly #window = new SampleWindow();
  #estimate: number;
  #limit: number;
  #inFlight = 0;
  /** The most that was in flight in this window. */
  #peak = 0;
  #windowAt = Number.NEGATIVE_INFINITY;
  #lastSampleAt = Number.NEGATIVE_INFINITY;
  /** 0: not known yet. */
  #baseline = 0;
  #baselineDueAt = 0;
  /** The lowest median of windows with little load, since the baseline was renewed. */
  #calm = Number.POSITIVE_INFINITY;
  /** The median of the last window. */
  #latency = 0;
  #atMin = 0;
  #probing = false;

  constructor(config: AdaptiveLimitConfig, random: Random) {
    this.#min = config.min;
    this.#max = config.max;
    this.#random = random;
    this.#estimate = clamp(initialLimit, config.min, config.max);
    this.#limit = Math.floor(this.#estimate);
  }

  /** How many may be in flight now. */
  get limit(): number {
    return this.#limit;
  }

  /** For people (`/state`). */
  describe(): AdaptiveLimitDescription {
    return {
      limit: this.#limit,
      waiting: this.#inFlight,
      latencyMs: this.#latency,
      baselineMs: this.#baseline,
      probing: this.#probing,
    };
  }

  /** Takes a place; false: there is none. */
  acquire(): boolean {
    if (this.#inFlight >= this.#limit) {
      if (this.#inFlight > this.#peak) this.#peak = this.#inFlight;
      return false;
    }
    if (++this.#inFlight > this.#peak) this.#peak = this.#inFlight;
    return true;
  }

  /** Gives a place back without having learnt anything. */
  release(): void {
    this.#inFlight--;
  }

  /** Gives a place back that was held from `startedAt` to `now` (milliseconds of the monotonic clock). */
  measured(startedAt: number, now: number): void {
    this.#inFlight--;
    this.#sample(startedAt, now);
  }

  /**
   * Gives a place back that somebody stopped waiting for. That it would have taken at least as long is only worth knowing
   * when it was long: otherwise those who give up would hide how slow it is.
   */
  abandoned(startedAt: number, now: number): void {
    this.#inFlight--;
    if (now - startedAt > this.#latency) this.#sample(startedAt, now);
  }

  #sample(startedAt: number, now: number): void {
    if (now - this.#lastSampleAt > staleMs) this.#restart(now);
    this.#lastSampleAt = now;
    if (this.#probing && startedAt < this.#windowAt) return;
    this.#window.add(now - startedAt);
    if (this.#window.count < windowSamples) {
      if (now - this.#windowAt > staleMs) this.#restart(now);
      return;
    }
    if (now - this.#windowAt >= Math.max(windowMs, windowRoundTrips * this.#latency)) this.#close(now);
  }

  /** After a pause: what was in the window is of another time. The baseline stays, to be renewed in due time. */
  #restart(now: number): void {
    this.#renewed(now);
    this.#open(now);
  }

  #open(now: number): void {
    this.#window.clear();
    this.#windowAt = now;
    this.#peak = this.#inFlight;
  }

  #renewed(now: number): void {
    this.#probing = false;
    this.#calm = Number.POSITIVE_INFINITY;
    this.#atMin = 0;
    this.#baselineDueAt = now + baselineMs * (1 + 0.2 * this.#random());
    this.#limit = Math.floor(this.#estimate);
  }

  #close(now: number): void {
    const median = this.#window.median();
    const used = this.#peak * 2 >= this.#estimate;
    this.#open(now);
    // Below the resolution of a clock there is nothing to divide by.
    this.#latency = Math.max(median, 0.001);
    if (this.#probing) {
      this.#baseline = this.#latency;
      this.#renewed(now);
      return;
    }
    if (this.#baseline === 0) this.#baseline = this.#latency;
    // By half, since the lowest of many medians is one by chance.
    else if (this.#latency < this.#baseline) this.#baseline -= (this.#baseline - this.#latency) / 2;
    if (used) this.#move();
    else this.#calm = Math.min(this.#calm, this.#latency);
    this.#atMin = used && this.#estimate <= this.#min ? this.#atMin + 1 : 0;
    if (now < this.#baselineDueAt && this.#atMin < windowsAtMin) return;
    if (this.#calm < Number.POSITIVE_INFINITY && this.#atMin < windowsAtMin) {
      this.#baseline = this.#calm;
      this.#renewed(now);
    } else {
      this.#probing = true;
      this.#limit = Math.max(this.#min, Math.floor(this.#estimate * probeRatio));
    }
  }

  #move(): void {
    const limit = this.#estimate;
    const gradient = clamp((tolerance * this.#baseline) / this.#latency, leastGradient, tolerance);
    const wanted = gradient * limit + Math.sqrt(limit);
    const next = limit + smoothing * (wanted - limit);
    this.#estimate = clamp(next, this.#min, this.#max);
    this.#limit = Math.floor(this.#estimate);
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
