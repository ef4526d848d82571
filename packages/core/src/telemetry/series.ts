import { Histogram } from "./histogram.js";

/** Who keeps series, and takes them back after they had expired. */
export interface SeriesOwner {
  revive(series: Series): void;
}

/**
 * One label set of a metric. Whoever records holds on to it: recording is a field's increment. When it was idle for long
 * it disappears from the page and its value is forgotten; the next record brings it back.
 */
export abstract class Series {
  /** Values in the order of the family's label names. */
  readonly labels: readonly string[];
  /** Something was recorded since the registry last looked. */
  touched = true;
  listed = true;
  idleSince = 0;
  readonly #owner: SeriesOwner;

  constructor(labels: readonly string[], owner: SeriesOwner) {
    this.labels = labels;
    this.#owner = owner;
  }

  /** Whether it may expire when nothing is recorded. */
  get expires(): boolean {
    return true;
  }

  abstract clear(): void;

  protected touch(): void {
    this.touched = true;
    if (!this.listed) this.#owner.revive(this);
  }
}

/** A number that only grows. */
export class CounterSeries extends Series {
  value = 0;

  increment(by = 1): void {
    this.touch();
    this.value += by;
  }

  clear(): void {
    this.value = 0;
  }
}

/** A number that goes up and down. It expires only while it is 0. */
export class GaugeSeries extends Series {
  value = 0;

  add(by: number): void {
    this.touch();
    this.value += by;
  }

  set(value: number): void {
    this.touch();
    this.value = value;
  }

  override get expires(): boolean {
    return this.value === 0;
  }

  clear(): void {
    this.value = 0;
  }
}

/** Values in buckets. */
export class HistogramSeries extends Series {
  readonly histogram: Histogram;

  constructor(labels: readonly string[], owner: SeriesOwner, bounds: readonly number[]) {
    super(labels, owner);
    this.histogram = new Histogram(bounds);
  }

  observe(value: number): void {
    this.touch();
    this.histogram.observe(value);
  }

  clear(): void {
    this.histogram.clear();
  }
}
