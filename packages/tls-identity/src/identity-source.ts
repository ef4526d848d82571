import type { KeyObject } from "node:crypto";
import type { SpiffeId } from "./spiffe-id.js";

/** The roots by which SVIDs of one trust domain are believed. */
export interface TrustBundle {
  readonly trustDomain: string;
  /** DER certificates, each an authority. */
  readonly roots: readonly Uint8Array[];
  /** `spiffe_sequence` of a bundle document: grows with every change. */
  readonly sequence?: number;
  /** `spiffe_refresh_hint` in milliseconds: how often to ask for the bundle again. */
  readonly refreshHintMs?: number;
}

/**
 * What a workload is at one time: its X.509-SVID with private key, and whom it believes. Never changes; a rotation makes another one.
 */
export interface IdentitySnapshot {
  readonly id: SpiffeId;
  /** 1 for the first snapshot of a source, one more for each that follows. */
  readonly generation: number;
  /** Leaf first, then intermediates, without the root. */
  readonly chainPem: string;
  /** DER of the leaf. */
  readonly leaf: Uint8Array;
  readonly key: KeyObject;
  /** Of the leaf, in milliseconds since 1970. */
  readonly notBefore: number;
  /** Of the leaf, in milliseconds since 1970. */
  readonly notAfter: number;
  /** By trust domain; always holds that of `id`. Domains beyond it are federated. */
  readonly bundles: ReadonlyMap<string, TrustBundle>;
}

/**
 * Where SVIDs and bundles come from, and come again. A source begins its work when it is made, keeps the last good snapshot
 * whatever fails later, and keeps no process alive.
 */
export interface IdentitySource {
  /** The newest snapshot; null before the first. May have expired if renewal kept failing: compare `notAfter`. */
  readonly current: IdentitySnapshot | null;
  /**
   * Resolves with the current snapshot, or the first one when it comes. Rejects when waiting is pointless: after
   * `close()`, and when the first attempt fails for a reason that needs a person (options, file modes, a development authority in production).
   * Failures that may heal only reach `onFailure`, so give the wait a deadline of your own.
   */
  ready(): Promise<IdentitySnapshot>;
  /** Calls `listener` with each later snapshot (the present one is in `current`). Returns the end of the subscription. */
  subscribe(listener: (snapshot: IdentitySnapshot) => void): () => void;
  /** Calls `listener` with each failed attempt, each alarm about a late renewal, and what a listener of snapshots threw. Returns the end of the subscription. */
  onFailure(listener: (error: Error) => void): () => void;
  /** Stops timers, watches and connections. Idempotent. `current` stays readable. */
  close(): void;
}
