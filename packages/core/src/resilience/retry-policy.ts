import type { BackoffConfig, HedgeConfig, RetryConfig } from "../config/config.js";

/** What a route says about retries, made for looking up. */
export interface RetryPolicy {
  /** Attempts after the first. */
  readonly limit: number;
  /** Time for one attempt up to its head, also the first; 0 for none. */
  readonly perTryTimeoutMs: number;
  /** By status, 0 to 599. */
  readonly retriesStatus: Uint8Array;
  /** By gRPC status, 0 to 16. Naming one is consent to repeat gRPC requests that failed that way. */
  readonly retriesGrpcStatus: Uint8Array;
  /** Methods that may be repeated after the peer may have acted. `Idempotency-Key` says the same for one request. */
  readonly methods: readonly string[];
  readonly backoff: BackoffConfig;
  /** A request body beyond this is passed on and not kept: it can't be sent twice. */
  readonly maxReplayBytes: number;
  /** A peer that asks for a longer wait (`Retry-After`) gets no retry: its answer is passed on. */
  readonly maxRetryAfterMs: number;
  /** `null`: no attempt is made beside another one. */
  readonly hedge: HedgeConfig | null;
}

export interface RetryPolicyOptions extends RetryConfig {
  /** @defaultValue 5000 */
  readonly maxRetryAfterMs?: number;
}

/** Methods that are safe (RFC 9110, section 9.2.1): repeating them changes nothing. */
export const safeMethods: readonly string[] = Object.freeze(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** One retry of what certainly had no effect and of gateway errors to safe methods; Linkerd's limit, backoff and 64 KiB. */
export const retryDefaults: RetryConfig = Object.freeze({
  limit: 1,
  perTryTimeoutMs: 0,
  statuses: Object.freeze([502, 503, 504]),
  methods: safeMethods,
  grpcStatuses: Object.freeze([]),
  maxReplayBytes: 65_536,
  backoff: Object.freeze({ minMs: 25, maxMs: 250, jitter: 1 }),
  hedge: null,
});

export function compileRetryPolicy(options: RetryPolicyOptions = retryDefaults): RetryPolicy {
  const retriesStatus = new Uint8Array(600);
  for (const status of options.statuses) retriesStatus[status] = 1;
  const retriesGrpcStatus = new Uint8Array(17);
  for (const status of options.grpcStatuses) retriesGrpcStatus[status] = 1;
  return Object.freeze({
    limit: options.limit,
    perTryTimeoutMs: options.perTryTimeoutMs,
    retriesStatus,
    retriesGrpcStatus,
    methods: options.methods,
    backoff: options.backoff,
    maxReplayBytes: options.maxReplayBytes,
    maxRetryAfterMs: options.maxRetryAfterMs ?? 5_000,
    hedge: options.hedge === null || options.hedge.limit === 0 ? null : options.hedge,
  });
}
