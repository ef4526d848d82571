import { CounterSeries, GaugeSeries, HistogramSeries, type Series, type SeriesOwner } from "./series.js";

export type MetricKind = "counter" | "gauge" | "histogram";

/** A metric: its name, what it means, and its label names. */
export interface MetricDefinition {
  readonly name: string;
  readonly kind: MetricKind;
  readonly help: string;
  readonly labels: readonly string[];
  /** Of a histogram. */
  readonly bounds?: readonly number[];
}

/** A value that is read when somebody asks, for what is known anyway. */
export interface ObservedValue {
  readonly labels: readonly string[];
  read(): number;
}

export interface RegistryOptions {
  /** Series of all metrics together; beyond it, new label sets are counted as one. @defaultValue 10000 */
  readonly maxSeries?: number;
  /** How long a series without records stays. @defaultValue 600000 (10 minutes, as Linkerd) */
  readonly idleMs?: number;
}

/** The label of the series that counts what found no place (OpenTelemetry's `otel.metric.overflow`). */
export const overflowLabel = "otel_metric_overflow";

interface SeriesCount {
  readonly max: number;
  used: number;
}

/** All series of one metric. */
export class MetricFamily<S extends Series> implements SeriesOwner {
  readonly definition: MetricDefinition;
  readonly #create: (labels: readonly string[], owner: SeriesOwner) => S;
  readonly #count: SeriesCount;
  readonly #series = new Map<string, S>();
  readonly #observed = new Set<ObservedValue>();
  #overflow: S | null = null;

  constructor(
    definition: MetricDefinition,
    count: SeriesCount,
    create: (labels: readonly string[], owner: SeriesOwner) => S,
  ) {
    this.definition = definition;
    this.#count = count;
    this.#create = create;
  }

  /** The series of a label set. To be called once and kept: it builds a string. An empty value is an absent label. */
  with(...labels: readonly string[]): S {
    if (labels.length !== this.definition.labels.length) {
      throw new TypeError(
        `${this.definition.name} has the labels ${this.definition.labels.join(", ")}, got ${labels.length} values`,
      );
    }
    const key = labels.join("\u0000");
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    if (this.#count.used >= this.#count.max) return this.overflow;
    const series = this.#create(labels, this);
    this.#count.used++;
    this.#series.set(key, series);
    return series;
  }

  /** The series that stands for all label sets that found no place. */
  get overflow(): S {
    this.#overflow ??= this.#create([], this);
    return this.#overflow;
  }

  /** The overflow series, when something is in it. */
  get overflowed(): S | null {
    return this.#overflow;
  }

  /** Has a value read whenever the page is made, until the returned function is called. */
  observe(labels: readonly string[], read: () => number): () => void {
    const value: ObservedValue = { labels, read };
    this.#observed.add(value);
    return () => void this.#observed.delete(value);
  }

  series(): Iterable<S> {
    return this.#series.values();
  }

  observed(): Iterable<ObservedValue> {
    return this.#observed;
  }

  revive(series: Series): void {
    const key = series.labels.join("\u0000");
    // Someone else may have asked for the same labels meanwhile, or there is no room: then both stay, unlisted and listed.
    if (this.#series.has(key) || this.#count.used >= this.#count.max) return;
    series.listed = true;
    this.#count.used++;
    this.#series.set(key, series as S);
  }

  /** For the registry. */
  expire(now: number, idleMs: number): void {
    for (const [key, series] of this.#series) {
      if (series.touched || !series.expires) {
        series.touched = false;
        series.idleSince = now;
      } else if (now - series.idleSince >= idleMs) {
        series.listed = false;
        series.clear();
        this.#series.delete(key);
        this.#count.used--;
      }
    }
  }
}

export type AnyFamily = MetricFamily<CounterSeries> | MetricFamily<GaugeSeries> | MetricFamily<HistogramSeries>;

/** All metrics of one mesh. Bounded: in series, and in how long an idle one stays. */
export class Registry {
  readonly #families = new Map<string, AnyFamily>();
  readonly #count: SeriesCount;
  readonly #idleMs: number;

  constructor(options: RegistryOptions = {}) {
    this.#count = { max: options.maxSeries ?? 10_000, used: 0 };
    this.#idleMs = options.idleMs ?? 600_000;
  }

  counter(definition: MetricDefinition): MetricFamily<CounterSeries> {
    return this.#add(new MetricFamily(definition, this.#count, (labels, owner) => new CounterSeries(labels, owner)));
  }

  gauge(definition: MetricDefinition): MetricFamily<GaugeSeries> {
    return this.#add(new MetricFamily(definition, this.#count, (labels, owner) => new GaugeSeries(labels, owner)));
  }

  histogram(definition: MetricDefinition): MetricFamily<HistogramSeries> {
    const bounds = definition.bounds ?? [];
    const create = (labels: readonly string[], owner: SeriesOwner) => new HistogramSeries(labels, owner, bounds);
    return this.#add(new MetricFamily(definition, this.#count, create));
  }

  families(): Iterable<AnyFamily> {
    return this.#families.values();
  }

  /** Forgets idle series. To be called about once a minute, with the monotonic clock's now. */
  sweep(now: number): void {
    for (const family of this.#families.values()) family.expire(now, this.#idleMs);
  }

  #add<F extends AnyFamily>(family: F): F {
    const { name } = family.definition;
    if (this.#families.has(name)) throw new TypeError(`the metric ${name} is registered already`);
    this.#families.set(name, family);
    return family;
  }
}
