/** How one request ended: a status, the mesh's reason for one that it made itself, or the code of an error. */
export type Outcome = number | string;

export interface Load {
  readonly perSecond: number;
  /** At most. */
  readonly seconds: number;
  /** Ends the load sooner. */
  readonly until?: Promise<unknown>;
  /** Sends the request of that number. Never rejects. */
  readonly send: (i: number) => Promise<Outcome>;
}

/** What a load has seen. */
export class LoadReport {
  readonly outcomes: Outcome[] = [];
  readonly latencies: number[] = [];
  /** Numbers of the requests that did not get 200. */
  readonly failed: number[] = [];

  get sent(): number {
    return this.outcomes.length;
  }

  get successRate(): number {
    return 1 - this.failed.length / this.sent;
  }

  /** Failures by how they ended. */
  get failures(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const i of this.failed) counts[this.outcomes[i]!] = (counts[this.outcomes[i]!] ?? 0) + 1;
    return counts;
  }

  /** Of all requests, in milliseconds. */
  quantile(q: number): number {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
  }
}

/**
 * Sends at a steady rate, whatever the answers do (an open loop): what would wait at the gates of a closed one shows up as
 * latency here. Resolves when all have ended.
 */
export async function drive({ perSecond, seconds, until, send }: Load): Promise<LoadReport> {
  const report = new LoadReport();
  const running: Promise<void>[] = [];
  let total = Math.round(perSecond * seconds);
  let sent = 0;
  void until?.then(() => {
    total = sent;
  });
  const startedAt = performance.now();
  for (let i = 0; i < total; ) {
    const due = Math.min(total, Math.floor(((performance.now() - startedAt) / 1000) * perSecond) + 1);
    for (; i < due; i++) {
      sent = i + 1;
      const number = i;
      const sentAt = performance.now();
      running.push(
        send(number).then((outcome) => {
          report.outcomes[number] = outcome;
          report.latencies[number] = performance.now() - sentAt;
          if (outcome !== 200) report.failed.push(number);
        }),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await Promise.all(running);
  return report;
}

/**
 * How many requests a second to send so that at most `most` of them are, and the machine is busy to a third: what suites beside this
 * one leave of it differs, and an overload is another test.
 */
export async function calmRate(most: number, send: Load["send"]): Promise<number> {
  const endsAt = performance.now() + 1_000;
  let count = 0;
  const loop = async () => {
    while (performance.now() < endsAt) await send(1_000_000 + count++);
  };
  await Promise.all(Array.from({ length: 16 }, loop));
  return Math.max(20, Math.min(most, Math.floor(count / 3)));
}
