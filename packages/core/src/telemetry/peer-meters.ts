import type { Peer } from "../exchange.js";
import type { MeshMetrics } from "./mesh-metrics.js";
import { Meter } from "./meter.js";

/** Peers that get series of their own; later ones share one. */
const maxPeers = 1_000;

/** Inbound duration series by peer. */
export class PeerMeters {
  readonly #metrics: MeshMetrics;
  readonly #serverAddress: string;
  readonly #unauthenticated: Meter;
  readonly #other: Meter;
  readonly #meters = new Map<string, Meter>();

  /** `serverAddress`: what this workload is called. Never what a request says it is addressed to. */
  constructor(metrics: MeshMetrics, serverAddress: string) {
    this.#metrics = metrics;
    this.#serverAddress = serverAddress;
    this.#unauthenticated = new Meter(metrics.serverDuration, serverAddress, "");
    this.#other = new Meter(metrics.serverDuration, serverAddress, "_other");
  }

  of(peer: Peer | null): Meter {
    if (peer === null) return this.#unauthenticated;
    const id = peer.toString();
    const known = this.#meters.get(id);
    if (known !== undefined) return known;
    if (this.#meters.size >= maxPeers) return this.#other;
    const meter = new Meter(this.#metrics.serverDuration, this.#serverAddress, id);
    this.#meters.set(id, meter);
    return meter;
  }
}
