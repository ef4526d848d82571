import type { Clock } from "../runtime/clock.js";
import type { Log } from "./log.js";

/** How often one reason is written to the log at most. */
const quietMs = 60_000;
/** Reasons are ours, Node's and OpenSSL's: some dozens. */
const maxReasons = 200;

/** `ECONNRESET` and the like: it left in the middle of the handshake, be it that it refused us, or that it only looked. */
const leftByItself = /^E[A-Z]+$/;

/** Which side of the connection the refused peer stands on: it called, or it was called. */
export type RefusedSide = "inbound" | "outbound";

interface Refusals {
  loggedAt: number;
  since: number;
}

/**
 * Says which peers could not prove who they are, and by what rule (`identity.peer-refused`): each reason at once, and then once a minute
 * with how many there were in between, since a peer tries again and again. All of them are in the metric.
 */
export class RefusedPeers {
  readonly #count: (reason: string) => void;
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #seen = new Map<string, Refusals>();

  constructor(count: (reason: string) => void, log: Log, clock: Clock) {
    this.#count = count;
    this.#log = log;
    this.#clock = clock;
  }

  /** `address`: `host` or `host:port` of the peer. */
  refuse(reason: string, side: RefusedSide, address: string): void {
    this.#count(`peer ${reason}`);
    if (leftByItself.test(reason)) return;
    const now = this.#clock.now();
    const key = `${side} ${reason}`;
    let seen = this.#seen.get(key);
    if (seen === undefined) {
      if (this.#seen.size >= maxReasons) return;
      seen = { loggedAt: Number.NEGATIVE_INFINITY, since: 0 };
      this.#seen.set(key, seen);
    }
    seen.since++;
    if (now - seen.loggedAt < quietMs) return;
    this.#log("warn", "identity.peer-refused", { reason, side, address, count: seen.since });
    seen.loggedAt = now;
    seen.since = 0;
  }
}
