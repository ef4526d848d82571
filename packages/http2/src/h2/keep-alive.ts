import type { Http2Config } from "./limits.js";

/** What we put into the PINGs that ask whether a peer is there. A drain's PING has another last byte. */
export const keepAlivePing: Buffer = Buffer.from([0x73, 0x65, 0x6c, 0x76, 0x61, 0x67, 0x65, 1]);
export const drainPing: Buffer = Buffer.from([0x73, 0x65, 0x6c, 0x76, 0x61, 0x67, 0x65, 2]);

/** Decides when to ask a silent peer for a sign of life, and when to stop waiting for one. Any byte is one. */
export class KeepAlive {
  readonly #config: Http2Config;
  #heard = true;
  #heardAt = 0;
  #askedAt = -1;

  constructor(config: Http2Config) {
    this.#config = config;
  }

  heard(): void {
    this.#heard = true;
  }

  check(clockMs: number, active: boolean): "ping" | "dead" | "" {
    const { keepAliveIntervalMs, keepAliveTimeoutMs, keepAliveWhileIdle } = this.#config;
    if (this.#heard) {
      this.#heard = false;
      this.#heardAt = clockMs;
      this.#askedAt = -1;
      return "";
    }
    if (keepAliveIntervalMs === 0) return "";
    if (this.#askedAt >= 0) return clockMs - this.#askedAt >= keepAliveTimeoutMs ? "dead" : "";
    if (clockMs - this.#heardAt < keepAliveIntervalMs || !(active || keepAliveWhileIdle)) return "";
    this.#askedAt = clockMs;
    return "ping";
  }
}
