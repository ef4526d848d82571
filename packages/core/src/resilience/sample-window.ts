const capacity = 256;

/**
 * The median of any number of samples, in bounded memory: when the place is used up every other sample is dropped, and from
 * then on only every second, fourth … one is kept.
 */
export class SampleWindow {
  /** Samples since the last `clear`, kept or not. */
  count = 0;
  readonly #kept = new Float64Array(capacity);
  #size = 0;
  #stride = 1;
  #skip = 0;

  add(value: number): void {
    this.count++;
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    if (this.#size === capacity) {
      this.#size = capacity / 2;
      this.#stride *= 2;
      for (let i = 0; i < this.#size; i++) this.#kept[i] = this.#kept[2 * i]!;
    }
    this.#kept[this.#size++] = value;
    this.#skip = this.#stride - 1;
  }

  /** NaN without samples. Reorders what is kept: to be followed by `clear`. */
  median(): number {
    const kept = this.#kept.subarray(0, this.#size).sort();
    return kept[this.#size >> 1] ?? Number.NaN;
  }

  clear(): void {
    this.count = 0;
    this.#size = 0;
    this.#stride = 1;
    this.#skip = 0;
  }
}
