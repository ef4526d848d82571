export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly samples: Sample[];
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/;

/** Reads Prometheus' text format 0.0.4, and throws at whatever a strict reader would not take. */
export function checkMetrics(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("does not end with a line feed");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current = "";
  let help = "";
  for (const [i, row] of text.slice(0, -1).split("\n").entries()) {
    const fail = (reason: string): never => {
      throw new Error(`line ${i + 1}, ${row}: ${reason}`);
    };
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(row);
    if (comment !== null) {
      const [, kind, name = "", rest = ""] = comment;
      if (kind === "HELP") {
        help = name;
        continue;
      }
      if (help !== name) fail("a type without its help");
      if (families.has(name)) fail("a family twice");
      if (!["counter", "gauge", "histogram"].includes(rest)) fail("no such type");
      if ((rest === "counter") !== name.endsWith("_total")) fail("a counter, and it only, ends in _total");
      families.set(name, { type: rest, samples: [] });
      current = name;
      continue;
    }
    const found = line.exec(row);
    if (found === null) return fail("no sample");
    const [, name = "", braces, number = ""] = found;
    const family = families.get(current) ?? fail("a sample without a type");
    const suffixes = family.type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    if (!suffixes.some((suffix) => name === `${current}${suffix}`)) fail("a sample of another family");
    const labels = labelsOf(braces ?? "", fail);
    const key = `${name} ${JSON.stringify([...labels].sort())}`;
    if (seen.has(key)) fail("a sample twice");
    seen.add(key);
    const value = number === "+Inf" ? Number.POSITIVE_INFINITY : Number(number);
    if (Number.isNaN(value) && number !== "NaN") fail("no number");
    if (family.type !== "gauge" && !(value >= 0)) fail("counts are not negative");
    family.samples.push({ name, labels, value });
  }
  for (const [name, { type, samples }] of families) {
    if (samples.length === 0) throw new Error(`${name} has no samples`);
    if (type === "histogram") checkHistogram(name, samples);
  }
  return families;
}

function labelsOf(text: string, fail: (reason: string) => never): Map<string, string> {
  const labels = new Map<string, string>();
  let rest = text;
  while (rest !== "") {
    const found = label.exec(rest);
    if (found === null) return fail("a label that can't be read");
    const [all, name = "", value = ""] = found;
    if (labels.has(name)) fail("a label twice");
    if (value === "") fail("an empty label is to be left out");
    labels.set(name, value);
    rest = rest.slice(all.length);
  }
  return labels;
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const series = new Map<string, { buckets: [number, number][]; count: number | null; sum: number | null }>();
  for (const sample of samples) {
    const { le, ...labels } = Object.fromEntries(sample.labels);
    const key = JSON.stringify(labels);
    const one = series.get(key) ?? { buckets: [], count: null, sum: null };
    series.set(key, one);
    if (sample.name === `${name}_count`) one.count = sample.value;
    else if (sample.name === `${name}_sum`) one.sum = sample.value;
    else one.buckets.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), sample.value]);
  }
  for (const [labels, { buckets, count, sum }] of series) {
    const fail = (reason: string): never => {
      throw new Error(`${name} ${labels}: ${reason}`);
    };
    if (count === null || sum === null) fail("no count or no sum");
    buckets.forEach(([bound, value], i) => {
      const [lower, less] = buckets[i - 1] ?? [Number.NEGATIVE_INFINITY, 0];
      if (!(bound > lower) || value < less) fail("buckets that don't grow");
    });
    const [bound, value] = buckets.at(-1) ?? [0, 0];
    if (bound !== Number.POSITIVE_INFINITY || value !== count) fail("the last bucket isn't the count");
  }
}
