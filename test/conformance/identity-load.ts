import type { Client, Outcome } from "./client.js";

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

  async stop(): Promise<LoadResult> {
    this.#going = false;
    await this.#running;
    return resultOf(this.#outcomes, Date.now() - this.#startedAt);
  }

  async #call(client: Client, pauseMs: number): Promise<void> {
    while (this.#going) {
      count(this.#outcomes, await client.send({ path: "/load" }));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

/** Requests at a rate, whatever becomes of those before; at most some hundreds wait at a time. */
export class PacedLoad {
  readonly #outcomes = new Map<string, number>();
  readonly #client: Client;
  readonly #startedAt = Date.now();
  readonly #timer: NodeJS.Timeout;
  readonly #waiting = new Set<Promise<void>>();
  #sent = 0;

  constructor(client: Client, perSecond: number) {
    this.#client = client;
    this.#timer = setInterval(() => {
      const due = Math.floor(((Date.now() - this.#startedAt) * perSecond) / 1000);
      for (; this.#sent < due && this.#waiting.size < maxWaiting; this.#sent++) this.#send();
    }, 5);
  }

  async stop(): Promise<LoadResult> {
    clearInterval(this.#timer);
    const elapsedMs = Date.now() - this.#startedAt;
    await Promise.all(this.#waiting);
    return resultOf(this.#outcomes, elapsedMs);
  }

  #send(): void {
    const sent = this.#client.send({ path: "/load" }).then((outcome) => {
      count(this.#outcomes, outcome);
      this.#waiting.delete(sent);
    });
    this.#waiting.add(sent);
  }
}

const maxWaiting = 500;

function count(outcomes: Map<string, number>, { status, headers }: Outcome): void {
  const outcome = `${status} ${headers["l5d-proxy-error"] ?? ""}`.trim();
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

function resultOf(outcomes: ReadonlyMap<string, number>, elapsedMs: number): LoadResult {
  const served = outcomes.get("200") ?? 0;
  return {
    served,
    failures: new Map([...outcomes].filter(([outcome]) => outcome !== "200")),
    perSecond: Math.round((served * 1000) / elapsedMs),
  };
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
