import type { Refusal } from "@selvage/policy";

/** Node's timers hold no more than this: 24.8 days. */
const maxMs = 2_147_483_647;
const unitsMs: Readonly<Record<string, number>> = Object.freeze({ h: 3_600_000, m: 60_000, s: 1000, ms: 1 });

const wrong: Refusal = Object.freeze({
  problem: "must be a duration",
  remedy: 'write text such as "300ms", "1.5s", "2m" or "1h30m", or milliseconds as a number',
});

/**
 * Milliseconds of a duration: a number is milliseconds already; text is as in Gateway API (GEP-2257: `1h`, `1m30s`,
 * `300ms`), with decimal fractions too. Text needs its unit, but for `"0"`.
 */
export function parseDuration(value: number | string): number | Refusal {
  const ms = typeof value === "number" ? value : value === "0" ? 0 : textMs(value);
  if (!Number.isFinite(ms) || ms < 0) return wrong;
  if (ms > maxMs) return { problem: "must be at most 24 days", remedy: "write 0 where no limit is meant" };
  return ms;
}

function textMs(text: string): number {
  let totalMs = 0;
  let i = 0;
  while (i < text.length) {
    const start = i;
    while (isDigit(text, i) || (text[i] === "." && i > start && isDigit(text, i + 1))) i++;
    const amount = i === start ? Number.NaN : Number(text.slice(start, i));
    const unit = text.startsWith("ms", i) ? "ms" : (text[i] ?? "");
    totalMs += amount * (Object.hasOwn(unitsMs, unit) ? unitsMs[unit]! : Number.NaN);
    i += unit.length;
    if (Number.isNaN(totalMs)) return totalMs;
  }
  return text === "" ? Number.NaN : totalMs;
}

function isDigit(text: string, at: number): boolean {
  const c = text.charCodeAt(at);
  return c >= 0x30 && c <= 0x39;
}

/** The shortest text that `parseDuration` reads back as these milliseconds. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0";
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  if (ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms >= 1000 ? `${ms / 1000}s` : `${ms}ms`;
}
