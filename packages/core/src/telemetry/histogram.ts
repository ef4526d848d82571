/** Upper bounds in seconds that OpenTelemetry's HTTP conventions advise for durations. */
export const durationBoundsSeconds: readonly number[] = Object.freeze([
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
]);

/** Counts of values in fixed buckets: `counts[i]` holds those up to `bounds[i]`, the last one all above. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds } = this;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= bounds[middle]!) high = middle;
      else low = middle + 1;
    }
    this.counts[low]!++;
    this.sum += value;
    this.count++;
  }

  add(other: Histogram): void {
    for (let i = 0; i < this.counts.length; i++) this.counts[i]! += other.counts[i]!;
    this.sum += other.sum;
    this.count += other.count;
  }

  clear(): void {
    this.counts.fill(0);
    this.sum = 0;
    this.count = 0;
  }

  /**
   * The value below which the share `q` of values lies, by linear interpolation within its bucket (as Prometheus'
   * `histogram_quantile`): as exact as the buckets are. The highest bound for values beyond it, NaN without values.
   */
  quantile(q: number): number {
    if (this.count === 0) return Number.NaN;
    const rank = q * this.count;
    let below = 0;
    for (let i = 0; i < this.bounds.length; i++) {
      const count = this.counts[i]!;
      if (below + count >= rank && count > 0) {
        const lower = i === 0 ? 0 : this.bounds[i - 1]!;
        return lower + ((this.bounds[i]! - lower) * Math.max(0, rank - below)) / count;
      }
      below += count;
    }
    return this.bounds[this.bounds.length - 1] ?? Number.NaN;
  }
}
