import type { Histogram } from "./histogram.js";
import { type AnyFamily, overflowLabel, type Registry } from "./registry.js";
import { HistogramSeries, type Series } from "./series.js";

/** What `/metrics` says it is. */
export const prometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

/** A registry as Prometheus' text format 0.0.4. Families without a series are left out. */
export function renderPrometheus(registry: Registry): string {
  const lines: string[] = [];
  for (const family of registry.families()) renderFamily(family, lines);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function renderFamily(family: AnyFamily, lines: string[]): void {
  const { name, kind, help, labels } = family.definition;
  const start = lines.length;
  for (const series of family.series()) renderSeries(name, renderLabels(labels, series.labels), series, lines);
  for (const value of family.observed()) {
    lines.push(`${name}${braced(renderLabels(labels, value.labels))} ${renderNumber(value.read())}`);
  }
  if (family.overflowed !== null) renderSeries(name, `${overflowLabel}="true"`, family.overflowed, lines);
  if (lines.length === start) return;
  lines.splice(start, 0, `# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${kind}`);
}

function renderSeries(name: string, labels: string, series: Series, lines: string[]): void {
  if (series instanceof HistogramSeries) renderHistogram(name, labels, series.histogram, lines);
  else lines.push(`${name}${braced(labels)} ${renderNumber((series as unknown as { value: number }).value)}`);
}

function renderHistogram(name: string, labels: string, histogram: Histogram, lines: string[]): void {
  const before = labels === "" ? "" : `${labels},`;
  let count = 0;
  histogram.bounds.forEach((bound, i) => {
    count += histogram.counts[i]!;
    lines.push(`${name}_bucket{${before}le="${renderNumber(bound)}"} ${count}`);
  });
  lines.push(`${name}_bucket{${before}le="+Inf"} ${histogram.count}`);
  lines.push(`${name}_sum${braced(labels)} ${renderNumber(histogram.sum)}`);
  lines.push(`${name}_count${braced(labels)} ${histogram.count}`);
}

function renderLabels(names: readonly string[], values: readonly string[]): string {
  let text = "";
  names.forEach((name, i) => {
    const value = values[i]!;
    if (value !== "") text += `${text === "" ? "" : ","}${name}="${escapeLabel(value)}"`;
  });
  return text;
}

function braced(labels: string): string {
  return labels === "" ? "" : `{${labels}}`;
}

function renderNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function escapeHelp(text: string): string {
  return text.replace(/[\\\n]/g, (c) => (c === "\n" ? "\\n" : "\\\\"));
}

function escapeLabel(text: string): string {
  return text.replace(/[\\\n"]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`));
}
