import type { Client } from "./client.js";

/** What came of a load: 200s, and everything else by what it was. */
export interface LoadResult {
  readonly served: number;
  readonly failures: ReadonlyMap<string, number>;
  readonly perSecond: number;
}

/** Requests from some callers at once, each waiting a little between two, until it is stopped. */
export class Load {
  readonly #outcomes = new Map<string, number>();
  readonly #running: Promise<unknown>;
  readonly #startedAt = Date.now();
  #going = true;

  constructor(clients: readonly Client[], pauseMs: number) {
    this.#running = Promise.all(clients.map((client) => this.#call(client, pauseMs)));
  }

  get served(): number {
    return this.#outcomes.get("200") ?? 0;
  }

  async stop(): Promise<LoadResult> {
    this.#going = false;
    await this.#running;
    const { served } = this;
    return {
      served,
      failures: new Map([...this.#outcomes].filter(([outcome]) => outcome !== "200")),
      perSecond: Math.round((served * 1000) / (Date.now() - this.#startedAt)),
    };
  }

  async #call(client: Client, pauseMs: number): Promise<void> {
    while (this.#going) {
      const { status, headers } = await client.send({ path: "/load" });
      const outcome = `${status} ${headers["l5d-proxy-error"] ?? ""}`.trim();
      this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** The value of one series on a page of metrics; 0 if it isn't there. */
export function metric(page: string, series: string): number {
  const line = page.split("\n").find((one) => one.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

/** Waits until something holds; the test's own timeout ends the wait. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 25));
}

export const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
