import { Balancer, type BalancerParts, type BalancingConfig, balancingDefaults } from "../balancer/balancer.js";
import { describeEndpoint, type EndpointDescription, type EndpointFactory } from "../balancer/endpoint.js";
import type { RetryBudgetConfig } from "../config/config.js";
import { RetryBudget, retryBudgetDefaults } from "../resilience/retry-budget.js";
import type { Resolver, ResolverWatch } from "../resolver/resolver.js";
import type { Route } from "../router/route.js";
import { RouteTable } from "../router/route-table.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { Meter } from "../telemetry/meter.js";
import type { CounterSeries } from "../telemetry/series.js";

/** Everything that is said about an authority. */
export interface TargetConfig {
  /** Lower case, as it appears in metrics. */
  readonly authority: string;
  readonly resolver: Resolver;
  /** The identity expected of all endpoints, for display and metrics; `null` when it is not known beforehand. */
  readonly identity: string | null;
  /** In the order in which they were written. */
  readonly routes: readonly Route[];
  /** For requests that no route matches; `null`: they fail. */
  readonly fallback: Route | null;
  /** Tells of routes that take the place of `routes`, from then on until it is closed. @defaultValue they stay */
  readonly watchRoutes?: (onRoutes: (routes: readonly Route[]) => void) => { close(): void };
  /** @defaultValue `balancingDefaults` */
  readonly balancing?: BalancingConfig;
  /** @defaultValue `retryBudgetDefaults` */
  readonly retryBudget?: RetryBudgetConfig;
  /** Outside the mesh: `authority` has a scheme, as in `https://api.example.com`. @defaultValue false */
  readonly outside?: boolean;
  /**
   * What metrics call it, when there may be many like it that are counted as one; such a target has no gauges.
   * @defaultValue `authority`
   */
  readonly label?: string;
  /** Makes this authority's transports, instead of what makes everybody's. */
  readonly factory?: EndpointFactory;
}

export interface TargetParts extends Omit<BalancerParts, "authority"> {
  readonly metrics: MeshMetrics;
}

/** The state of one authority: its routes, balancer, budget and metrics. Its resolver runs from the first use on. */
export class Target {
  readonly authority: string;
  readonly identity: string | null;
  readonly outside: boolean;
  /** Replaced as a whole when its source changes. Exchanges keep the route they have. */
  routes: RouteTable;
  readonly balancer: Balancer;
  readonly budget: RetryBudget;
  readonly meter: Meter;
  readonly retryMetrics: RetryMetrics;
  readonly attemptMetrics: AttemptMetrics;
  /** It was asked for since the table last looked. */
  used = true;
  readonly #parts: TargetParts;
  readonly #resolver: Resolver;
  readonly #forget: (() => void)[];
  #watch: ResolverWatch | null = null;
  #closed = false;

  constructor(config: TargetConfig, parts: TargetParts) {
    const { authority } = config;
    const { metrics } = parts;
    this.authority = authority;
    this.identity = config.identity;
    this.outside = config.outside ?? false;
    const label = config.label ?? authority;
    this.routes = new RouteTable(config.routes, config.fallback);
    this.balancer = new Balancer(
      { ...parts, factory: config.factory ?? parts.factory, authority },
      config.balancing ?? balancingDefaults,
    );
    this.budget = new RetryBudget(parts.clock.now(), config.retryBudget ?? retryBudgetDefaults);
    this.meter = new Meter(metrics.clientDuration, label, config.identity ?? "");
    this.retryMetrics = new RetryMetrics(metrics, label);
    this.attemptMetrics = new AttemptMetrics(metrics, label);
    this.#parts = parts;
    this.#resolver = config.resolver;
    const routesWatch = config.watchRoutes?.((routes) => {
      this.routes = new RouteTable(routes, config.fallback);
    });
    this.#forget = [
      () => routesWatch?.close(),
      ...(config.label !== undefined
        ? []
        : [
            metrics.queued.observe([authority], () => this.balancer.queued),
            ...(["available", "ejected", "probing"] as const).map((state) =>
              metrics.endpointState.observe([authority, state], () => this.#count(state)),
            ),
          ]),
    ];
  }

  /** Attempts that have not ended, and exchanges that wait for an endpoint. */
  get inFlight(): number {
    let count = this.balancer.queued;
    for (const endpoint of this.balancer.endpoints) count += endpoint.inFlight;
    return count;
  }

  /** Starts discovery, once. */
  start(): void {
    if (this.#watch !== null || this.#closed) return;
    this.#watch = { close() {} };
    this.#watch = this.#resolver.watch({
      onUpdate: (endpoints) => this.balancer.update(endpoints),
      onFailure: (error) => this.balancer.resolverFailed(error),
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.close();
    this.balancer.close();
    for (const forget of this.#forget) forget();
  }

  /** What is known, for people (`explain`). */
  describe(): TargetDescription {
    const now = this.#parts.clock.now();
    const { fallback } = this.routes;
    return {
      authority: this.authority,
      outside: this.outside,
      identity: this.identity,
      endpoints: [...this.balancer.endpoints].map((endpoint) => describeEndpoint(endpoint, now)),
      queued: this.balancer.queued,
      failingFast: this.balancer.failingFast,
      panicking: this.balancer.panicking,
      retriesAvailable: this.budget.available(now),
      inFlight: this.inFlight,
      routes: (fallback === null ? this.routes.routes : [...this.routes.routes, fallback]).map(describeRoute),
    };
  }

  #count(state: string): number {
    let count = 0;
    for (const endpoint of this.balancer.endpoints) if (endpoint.state === state) count++;
    return count;
  }
}

export interface RouteDescription {
  readonly name: string;
  readonly timeoutMs: number;
  readonly retryLimit: number;
  readonly perTryTimeoutMs: number;
}

export interface TargetDescription {
  readonly authority: string;
  /** Outside the mesh, allowed by `outbound.egress`. */
  readonly outside: boolean;
  readonly identity: string | null;
  readonly endpoints: readonly EndpointDescription[];
  readonly queued: number;
  readonly failingFast: boolean;
  readonly panicking: boolean;
  readonly retriesAvailable: number;
  readonly inFlight: number;
  /** In the order in which they are tried. */
  readonly routes: readonly RouteDescription[];
}

function describeRoute(route: Route): RouteDescription {
  const { name, timeoutMs, retry } = route;
  return { name, timeoutMs, retryLimit: retry.limit, perTryTimeoutMs: retry.perTryTimeoutMs };
}

/** Why an attempt was repeated. */
export type RetryReason = "unsent" | "refused" | "transport" | "per_try_timeout" | "status" | "grpc_status" | "hedge";

/** Counters of one authority's retries. */
export class RetryMetrics {
  readonly budgetExhausted: CounterSeries;
  readonly limitExceeded: CounterSeries;
  readonly #metrics: MeshMetrics;
  readonly #authority: string;

  constructor(metrics: MeshMetrics, authority: string) {
    this.#metrics = metrics;
    this.#authority = authority;
    this.budgetExhausted = metrics.retryBudgetExhausted.with(authority);
    this.limitExceeded = metrics.retryLimitExceeded.with(authority);
  }

  retried(reason: RetryReason): void {
    this.#metrics.retries.with(this.#authority, reason).increment();
  }
}

/** Counters of one authority's attempts. */
export class AttemptMetrics {
  readonly success: CounterSeries;
  readonly failure: CounterSeries;
  readonly notCounted: CounterSeries;

  constructor(metrics: MeshMetrics, authority: string) {
    this.success = metrics.attempts.with(authority, "success");
    this.failure = metrics.attempts.with(authority, "failure");
    this.notCounted = metrics.attempts.with(authority, "not_counted");
  }
}
