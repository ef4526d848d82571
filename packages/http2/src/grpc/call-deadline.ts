import type { Deadline } from "@grpc/grpc-js";

const units = [
  ["m", 1],
  ["S", 1000],
  ["M", 60_000],
  ["H", 3_600_000],
] as const;

/** Milliseconds of a clock; Infinity for none. */
export function deadlineMs(deadline: Deadline): number {
  return deadline instanceof Date ? deadline.getTime() : deadline;
}

/** The value of `grpc-timeout`: at most eight digits and a unit, rounded up. */
export function grpcTimeout(remainingMs: number): string {
  const remaining = Math.max(remainingMs, 0);
  for (const [unit, factor] of units) {
    const amount = Math.ceil(remaining / factor);
    if (amount < 1e8) return `${amount}${unit}`;
  }
  return "99999999H";
}
