import type { RouteConfig } from "../config/config.js";
import { compileRetryPolicy } from "../resilience/retry-policy.js";
import type { Route } from "./route.js";
import { RouteFilters } from "./route-filters.js";
import { WeightedBackends } from "./weighted-backends.js";

/** What is made of a route of the configuration: a route for each of its matches. */
export function routesOf(config: RouteConfig): Route[] {
  const retry = compileRetryPolicy(config.retry);
  const backends = config.backends.length === 0 ? null : new WeightedBackends(config.backends);
  return config.matches.map((match) => ({
    name: config.name,
    match,
    timeoutMs: config.timeoutMs,
    idleTimeoutMs: config.idleTimeoutMs,
    retry,
    filters: config.filters === null ? null : new RouteFilters(config.filters, match.path),
    backends,
    overrides: config.overrides,
    ...(config.fault !== null && { fault: config.fault }),
  }));
}
