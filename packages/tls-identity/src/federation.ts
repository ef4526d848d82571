import { backoffMs } from "./backoff.js";
import { type BundleEndpoint, type BundleEndpointProfile, fetchBundle } from "./bundle-fetch.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySnapshot, IdentitySource, TrustBundle } from "./identity-source.js";
import { Listeners, warn } from "./listeners.js";
import { type Schedule, systemSchedule } from "./snapshot-source.js";
import type { SpiffeId } from "./spiffe-id.js";

/** A federated trust domain and where its bundle comes from. */
export interface FederationRelation {
  readonly trustDomain: string;
  readonly url: string;
  readonly profile: "https_web" | "https_spiffe";
  /** Of `https_spiffe`: the endpoint's id. Its trust domain is the federated one. */
  readonly endpointId?: SpiffeId;
  /** Bundle to begin with; needed for `https_spiffe`, by which each bundle vouches for the next. */
  readonly bundle?: TrustBundle;
}

/** Options of {@link withFederation}. */
export interface FederationOptions {
  readonly relations: readonly FederationRelation[];
  /** How often to fetch where the document gives no hint. @defaultValue 300000 */
  readonly refreshMs?: number;
  /** How a bundle is fetched. @defaultValue `fetchBundle` */
  readonly fetch?: (endpoint: BundleEndpoint) => Promise<TrustBundle>;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link FederationOptions}. */
export const federationDefaults = Object.freeze({ refreshMs: 300_000 });

const minRefreshMs = 10_000;
const maxRefreshMs = 24 * 3_600_000;
const minBackoffMs = 1000;

/**
 * A source that adds the bundles of federated trust domains to the snapshots of another, and follows them. A domain is believed as
 * soon as its bundle is there; a fetch that fails, or brings an older `spiffe_sequence`, changes nothing. Never adds to or
 * replaces the bundle of the workload's own trust domain. Closing it closes the inner source.
 */
export function withFederation(inner: IdentitySource, options: FederationOptions): IdentitySource {
  for (const relation of options.relations) {
    const isSpiffe = relation.profile === "https_spiffe";
    if (isSpiffe && (relation.endpointId === undefined || relation.bundle === undefined)) {
      throw new IdentityError(
        "source-options",
        `federation with ${relation.trustDomain}: https_spiffe needs endpointId and bundle`,
      );
    }
  }
  return new FederatedSource(inner, options);
}

class FederatedSource implements IdentitySource {
  readonly #inner: IdentitySource;
  readonly #options: FederationOptions;
  readonly #schedule: Schedule;
  readonly #bundles = new Map<string, TrustBundle>();
  readonly #timers = new Map<string, () => void>();
  readonly #failures = new Listeners<Error>(warn);
  readonly #snapshots = new Listeners<IdentitySnapshot>((error) => this.#failures.emit(error as Error));
  readonly #ends: (() => void)[];
  #current: IdentitySnapshot | null = null;
  #closed = false;

  constructor(inner: IdentitySource, options: FederationOptions) {
    this.#inner = inner;
    this.#options = options;
    this.#schedule = options.schedule ?? systemSchedule;
    this.#ends = [inner.subscribe(() => this.#publish()), inner.onFailure((error) => this.#failures.emit(error))];
    for (const relation of options.relations) {
      if (relation.bundle !== undefined) this.#bundles.set(relation.trustDomain, relation.bundle);
      void this.#refresh(relation, 0);
    }
    if (inner.current !== null) this.#publish();
  }

  get current(): IdentitySnapshot | null {
    return this.#current;
  }

  async ready(): Promise<IdentitySnapshot> {
    await this.#inner.ready();
    if (this.#current === null) this.#publish();
    return this.#current!;
  }

  subscribe(listener: (snapshot: IdentitySnapshot) => void): () => void {
    return this.#snapshots.add(listener);
  }

  onFailure(listener: (error: Error) => void): () => void {
    return this.#failures.add(listener);
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends) end();
    for (const cancel of this.#timers.values()) cancel();
    this.#inner.close();
  }

  #publish(): void {
    const base = this.#inner.current;
    if (base === null || this.#closed) return;
    const bundles = new Map(base.bundles);
    for (const [trustDomain, bundle] of this.#bundles) if (!bundles.has(trustDomain)) bundles.set(trustDomain, bundle);
    this.#current = Object.freeze({ ...base, bundles, generation: (this.#current?.generation ?? 0) + 1 });
    this.#snapshots.emit(this.#current);
  }

  async #refresh(relation: FederationRelation, failures: number): Promise<void> {
    const { trustDomain } = relation;
    let delayMs: number;
    let failed = 0;
    try {
      const bundle = await (this.#options.fetch ?? fetchBundle)({
        trustDomain,
        url: relation.url,
        authentication: authenticationOf(relation, this.#bundles.get(trustDomain)),
      });
      if (this.#closed) return;
      this.#take(bundle);
      const hintMs = bundle.refreshHintMs ?? this.#options.refreshMs ?? federationDefaults.refreshMs;
      delayMs = Math.min(maxRefreshMs, Math.max(minRefreshMs, hintMs));
    } catch (error) {
      if (this.#closed) return;
      failed = failures + 1;
      const maxMs = this.#options.refreshMs ?? federationDefaults.refreshMs;
      delayMs = backoffMs(failed, { minMs: minBackoffMs, maxMs }, (this.#options.random ?? Math.random)());
      this.#failures.emit(error as Error);
    }
    this.#timers.set(
      trustDomain,
      this.#schedule(delayMs, () => void this.#refresh(relation, failed)),
    );
  }

  #take(bundle: TrustBundle): void {
    const held = this.#bundles.get(bundle.trustDomain);
    if (held !== undefined) {
      const isOlder = bundle.sequence !== undefined && held.sequence !== undefined && bundle.sequence < held.sequence;
      if (isOlder || sameRoots(held, bundle)) return;
    }
    this.#bundles.set(bundle.trustDomain, bundle);
    this.#publish();
  }
}

function authenticationOf(relation: FederationRelation, held: TrustBundle | undefined): BundleEndpointProfile {
  if (relation.profile === "https_web") return { profile: "https_web" };
  return { profile: "https_spiffe", endpointId: relation.endpointId!, bundle: held! };
}

function sameRoots(one: TrustBundle, other: TrustBundle): boolean {
  const text = (bundle: TrustBundle) => bundle.roots.map((der) => Buffer.from(der).toString("base64")).join();
  return text(one) === text(other);
}
