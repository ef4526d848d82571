import {
  type ErrorOrigin,
  type ErrorRow,
  ExchangeError,
  isExchangeError,
  type Progress,
  type TransportErrorCode,
  transportErrors,
} from "@selvage/http2";

/**
 * The failures that the mesh itself can report, in addition to those of the engine (`transportErrors`). Statuses are
 * Linkerd's where it has the same failure. A code is never renamed.
 */
export const meshErrors = Object.freeze({
  /** The mesh has no such authority, and may not pass it on as it is. */
  SELVAGE_ERR_UNKNOWN_SERVICE: { status: 502, grpcStatus: 14 },
  /** It is outside the mesh, and `outbound.egress` does not allow it. */
  SELVAGE_ERR_EGRESS: { status: 403, grpcStatus: 7 },
  /** The authority has routes, and none matches. */
  SELVAGE_ERR_NO_ROUTE: { status: 404, grpcStatus: 5 },
  /** The authority has no endpoint, and none appeared in time. To gRPC clients that is UNAVAILABLE: nothing was sent. */
  SELVAGE_ERR_NO_ENDPOINT: { status: 504, grpcStatus: 14 },
  /** There are endpoints, and none became ready in time. */
  SELVAGE_ERR_FAIL_FAST: { status: 504, grpcStatus: 14 },
  /** The time for the whole exchange, retries included, is over. */
  SELVAGE_ERR_DEADLINE: { status: 504, grpcStatus: 4 },
  /** Nothing came or went for as long as that may be. */
  SELVAGE_ERR_IDLE: { status: 504, grpcStatus: 4 },
  /** The time for one attempt is over. */
  SELVAGE_ERR_PER_TRY_TIMEOUT: { status: 504, grpcStatus: 4 },
  /** The other end is not who it has to be, or can't prove it. */
  SELVAGE_ERR_IDENTITY: { status: 502, grpcStatus: 14 },
  /** Policy does not allow it. */
  SELVAGE_ERR_DENIED: { status: 403, grpcStatus: 7 },
  /** More requests than the rate limit allows. */
  SELVAGE_ERR_RATE_LIMITED: { status: 429, grpcStatus: 8 },
  /** More requests in flight, or waiting, than may be. */
  SELVAGE_ERR_SHED: { status: 503, grpcStatus: 14 },
  /** A fault that the route injects, for tests. The route says with which status. */
  SELVAGE_ERR_FAULT: { status: 503, grpcStatus: 14 },
  /** This workload is shutting down. */
  SELVAGE_ERR_DRAINING: { status: 503, grpcStatus: 14 },
  /** Our own fault. */
  SELVAGE_ERR_INTERNAL: { status: 500, grpcStatus: 13 },
} satisfies Record<string, ErrorRow>);

export type MeshErrorCode = keyof typeof meshErrors;

const prefix = "SELVAGE_ERR_";

/** Every known code's reason for metrics and logs: `SELVAGE_ERR_PER_TRY_TIMEOUT` is `per_try_timeout`. */
const reasons: ReadonlyMap<string, string> = new Map(
  ([...Object.keys(meshErrors), ...Object.keys(transportErrors)] as (MeshErrorCode | TransportErrorCode)[]).map(
    (code) => [code, code.slice(prefix.length).toLowerCase()],
  ),
);

/** A code as a metric label: from a closed set, `_other` for codes that are not in the tables. */
export function errorReason(code: string): string {
  return reasons.get(code) ?? "_other";
}

/** Makes an error of the mesh's own table. Messages are lower case, without a full stop, and may change. */
export function meshError(
  code: MeshErrorCode,
  message: string,
  origin: ErrorOrigin = "local",
  progress: Progress = "unsent",
  cause?: unknown,
): ExchangeError {
  return new ExchangeError(code, message, meshErrors[code], origin, progress, cause);
}

/** Whether a value is the error of an exchange, whoever made it and whichever copy of the package it came from. */
export function isMeshError(value: unknown): value is ExchangeError {
  return isExchangeError(value);
}

/** Whether the mesh itself, and not the engine or a peer, decided to fail an exchange. */
export function isOwnError(error: ExchangeError): boolean {
  return Object.hasOwn(meshErrors, error.code);
}
