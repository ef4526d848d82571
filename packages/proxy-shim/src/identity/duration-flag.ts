import { parseDuration } from "@selvage/core/spi";

/** Milliseconds of a duration that was given to a flag. */
export function durationFlag(flag: string, text: string): number {
  const ms = parseDuration(text);
  if (typeof ms === "number") return ms;
  throw new Error(`${flag} ${ms.problem}, got ${JSON.stringify(text)}; ${ms.remedy}`);
}
