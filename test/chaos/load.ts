/** How one request ended: a status, the mesh's reason for one that it made itself, or the code of an error. */
export type Outcome = number | string;

export interface Load {
  readonly perSecond: number;
  /** At most. */
  readonly seconds: number;
  /** Number of the first request. @defaultValue 0 */
  readonly from?: number;
  /** Ends the load sooner. */
  readonly until?: Promise<unknown>;
  /** Sends the request of that number. Never rejects. */
  readonly send: (i: number) => Promise<Outcome>;
}

/** A failure of a request. */
export interface Failure {
  /** Of the request. */
  readonly i: number;
  readonly outcome: Outcome;
  /** When it was sent, since the load began. */
  readonly sentAtMs: number;
  readonly tookMs: number;
}

/** What a load has seen, for other processes: `LoadReport` without the latency of each request. */
export interface LoadSummary {
  readonly perSecond: number;
  readonly sent: number;
  /** That did not get 200. At most `maxFailures` of them are told. */
  readonly failed: number;
  readonly failures: readonly Failure[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const maxFailures = 5_000;

/** What a load has seen. Keeps four bytes for each request that went well, so that the generator stays out of its own way. */
export class LoadReport {
  readonly failures: Failure[] = [];
  #latencies = new Float32Array(1 << 14);
  #ended = 0;
  #failed = 0;

  end(failure: Failure | null, tookMs: number): void {
    if (this.#ended === this.#latencies.length) {
      const larger = new Float32Array(this.#ended * 2);
      larger.set(this.#latencies);
      this.#latencies = larger;
    }
    this.#latencies[this.#ended++] = tookMs;
    if (failure === null) return;
    this.#failed++;
    if (this.failures.length < maxFailures) this.failures.push(failure);
  }

  get sent(): number {
    return this.#ended;
  }

  get failed(): number {
    return this.#failed;
  }

  /** Of all requests, in milliseconds. */
  quantile(q: number): number {
    const sorted = this.#latencies.slice(0, this.#ended).sort();
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
  }

  summary(perSecond: number): LoadSummary {
    const { sent, failed, failures } = this;
    const [p50Ms, p99Ms, maxMs] = [this.quantile(0.5), this.quantile(0.99), this.quantile(1)];
    return { perSecond, sent, failed, failures, p50Ms, p99Ms, maxMs };
  }
}

/**
 * Sends at a steady rate, whatever the answers do (an open loop): what would wait at the gates of a closed one shows up as
 * latency here. Resolves when all have ended.
 */
export async function drive({ perSecond, seconds, from = 0, until, send }: Load): Promise<LoadReport> {
  const report = new LoadReport();
  let total = Math.round(perSecond * seconds);
  let sent = 0;
  void until?.then(() => {
    total = Math.min(total, sent);
  });
  const startedAt = performance.now();
  let allEnded = () => {};
  const one = (i: number) => {
    const sentAt = performance.now();
    void send(i).then((outcome) => {
      const tookMs = performance.now() - sentAt;
      report.end(outcome === 200 ? null : { i, outcome, sentAtMs: Math.round(sentAt - startedAt), tookMs }, tookMs);
      if (report.sent === total) allEnded();
    });
  };
  while (sent < total) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond) + 1);
    while (sent < due) one(from + sent++);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (report.sent < total) {
    await new Promise<void>((resolve) => {
      allEnded = resolve;
    });
  }
  return report;
}

const warmUpMs = 2_000;

/** How many requests a second come back when 16 wait at any time: in the third second, since what has just started is slow. */
export async function capacity(send: Load["send"], from = 1_000_000_000): Promise<number> {
  const countsFrom = performance.now() + warmUpMs;
  const endsAt = countsFrom + 1_000;
  let i = from;
  let count = 0;
  const loop = async () => {
    while (performance.now() < endsAt) {
      await send(i++);
      if (performance.now() > countsFrom) count++;
    }
  };
  await Promise.all(Array.from({ length: 16 }, loop));
  return count;
}

/**
 * How many requests a second to send so that at most `most` of them are, and the machine is busy to a third: what suites beside this
 * one leave of it differs, and an overload is another test. `CHAOS_RATE` in the environment is the last word.
 */
export function calmRate(most: number, capacityPerSecond: number): number {
  const given = Number(process.env["CHAOS_RATE"] ?? 0);
  return given > 0 ? given : Math.max(20, Math.min(most, Math.floor(capacityPerSecond / 3)));
}

/** Failures by how they ended. */
export function failureCounts(failures: readonly Failure[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { outcome } of failures) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}
