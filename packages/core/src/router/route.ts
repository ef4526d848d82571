import type { RouteMatchConfig } from "../config/config.js";
import type { RetryPolicy } from "../resilience/retry-policy.js";

/** The rules that apply to a request. */
export interface Route {
  /** For display and metrics. */
  readonly name: string;
  readonly match: RouteMatchConfig;
  /** For the whole exchange, retries and waits included; 0 for none. */
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
}
