import type { FaultConfig, RouteMatchConfig } from "../config/config.js";
import type { RetryPolicy } from "../resilience/retry-policy.js";
import type { RouteFilters } from "./route-filters.js";
import type { WeightedBackends } from "./weighted-backends.js";

/** The rules that apply to a request. A route of the configuration that has several matches is as many of these. */
export interface Route {
  /** For display and metrics. */
  readonly name: string;
  readonly match: RouteMatchConfig;
  /** For the whole exchange, retries and waits included; 0 for none. */
  readonly timeoutMs: number;
  /** Without a byte in either direction; 0 for none. @defaultValue 0 */
  readonly idleTimeoutMs?: number;
  readonly retry: RetryPolicy;
  /** What is changed on the way. @defaultValue nothing */
  readonly filters?: RouteFilters | null;
  /** Who gets the requests, instead of the authority itself. @defaultValue the authority itself */
  readonly backends?: WeightedBackends | null;
  /** Whether the caller may set timeout and retries of a request by headers. @defaultValue false */
  readonly overrides?: boolean;
  /** Absent: none. It has an effect in stacks with the `fault` layer. */
  readonly fault?: FaultConfig;
}
