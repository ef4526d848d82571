import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { failureCounts, type LoadSummary } from "./load.js";

const directory = join(import.meta.dirname, "../../test-results");
const file = join(directory, "chaos.json");

interface Results {
  node: string;
  cpus: number;
  cases: Record<string, unknown>;
}

/** Keeps what a case has measured, beside what the others have. */
export function record(name: string, measured: unknown): void {
  const results: Results = { node: process.version, cpus: cpus().length, cases: {} };
  try {
    Object.assign(results.cases, (JSON.parse(readFileSync(file, "utf8")) as Results).cases);
  } catch {
    // The first one.
  }
  results.cases[name] = measured;
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** A share for people: `99.97 %`. */
export function percent(share: number): string {
  return `${Math.floor(share * 10_000) / 100} %`;
}

/** Of all that was sent, for people. */
export function successOf({ sent, failed }: { readonly sent: number; readonly failed: number }): string {
  return percent(1 - failed / sent);
}

/** What callers saw of a load, half of which may not be processed twice, and how often it was. */
export function seen(report: LoadSummary, twice: readonly string[]) {
  const gets = report.failures.filter(({ i }) => i % 2 === 0).length;
  return {
    requests: report.sent,
    failedGets: gets,
    failedPosts: report.failed - gets,
    failures: failureCounts(report.failures),
    success: successOf(report),
    p50Ms: report.p50Ms,
    p99Ms: report.p99Ms,
    maxMs: report.maxMs,
    lastFailureSentAtMs: Math.max(0, ...report.failures.map(({ sentAtMs }) => sentAtMs)),
    processedTwice: twice.length,
  };
}
