/**
 * How far a request got before it failed. Retry decides from this alone whether the peer can have acted on it.
 *
 * - `unsent`: no byte of it reached the peer (no connection, a stream above the last id of a GOAWAY).
 * - `refused`: the peer says it did not act on it (REFUSED_STREAM, RFC 9113 section 8.7).
 * - `processed`: the peer may have acted on it.
 */
export type Progress = "unsent" | "refused" | "processed";

/** Whose doing a failure is: the one who sent the request, the one it was sent to, or this process. */
export type ErrorOrigin = "caller" | "peer" | "local";

/** What a failed exchange looks like as HTTP and as gRPC, for those who have to answer it. */
export interface ErrorRow {
  readonly status: number;
  readonly grpcStatus: number;
}

/** The failures that the engine itself can report. A code is never renamed. */
export const transportErrors = Object.freeze({
  /** No connection could be made: refused, unreachable, reset while connecting. */
  SELVAGE_ERR_CONNECT: { status: 502, grpcStatus: 14 },
  /** No connection within the connect timeout. */
  SELVAGE_ERR_CONNECT_TIMEOUT: { status: 504, grpcStatus: 14 },
  /** The TLS handshake failed: wrong identity, untrusted or expired certificate, wrong version. */
  SELVAGE_ERR_TLS: { status: 502, grpcStatus: 14 },
  /** The connection ended while the exchange was on it. */
  SELVAGE_ERR_CLOSED: { status: 502, grpcStatus: 14 },
  /** The peer refused the stream without acting on it. */
  SELVAGE_ERR_REFUSED: { status: 503, grpcStatus: 14 },
  /** The peer reset the stream. */
  SELVAGE_ERR_RESET: { status: 502, grpcStatus: 14 },
  /** The peer broke the protocol. */
  SELVAGE_ERR_PROTOCOL: { status: 502, grpcStatus: 13 },
  /** A request that must not be passed on: ambiguous, malformed, or not allowed by the RFC. */
  SELVAGE_ERR_MALFORMED: { status: 400, grpcStatus: 13 },
  /** Head or body beyond a limit. */
  SELVAGE_ERR_TOO_LARGE: { status: 431, grpcStatus: 8 },
  /** The one who sent the request gave it up. */
  SELVAGE_ERR_ABORTED: { status: 499, grpcStatus: 1 },
  /** More requests wait for a connection than may. */
  SELVAGE_ERR_OVERFLOW: { status: 503, grpcStatus: 14 },
  /** A timeout of the engine (idle, head, keep-alive). */
  SELVAGE_ERR_TIMEOUT: { status: 504, grpcStatus: 4 },
} satisfies Record<string, ErrorRow>);

export type TransportErrorCode = keyof typeof transportErrors;

const brand = Symbol.for("selvage.error");

/**
 * The one error of an exchange. It is an expected outcome, not a bug, so it carries no captured stack: making one costs
 * a fraction of a microsecond. `code` is stable; the message may change.
 */
export class ExchangeError extends Error {
  readonly code: string;
  readonly origin: ErrorOrigin;
  readonly progress: Progress;
  /** The status that answers the request when nothing was answered yet. */
  readonly status: number;
  readonly grpcStatus: number;

  constructor(
    code: string,
    message: string,
    row: ErrorRow,
    origin: ErrorOrigin = "peer",
    progress: Progress = "processed",
    cause?: unknown,
  ) {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message, cause === undefined ? undefined : { cause });
    Error.stackTraceLimit = limit;
    this.code = code;
    this.origin = origin;
    this.progress = progress;
    this.status = row.status;
    this.grpcStatus = row.grpcStatus;
  }

  override get name(): string {
    return "MeshError";
  }

  get [brand](): true {
    return true;
  }
}

/** Makes an error of the engine's own table. */
export function transportError(
  code: TransportErrorCode,
  message: string,
  origin: ErrorOrigin = "peer",
  progress: Progress = "processed",
  cause?: unknown,
): ExchangeError {
  return new ExchangeError(code, message, transportErrors[code], origin, progress, cause);
}

/** Whether a value is an exchange's error, also when it came from another copy of this package. */
export function isExchangeError(value: unknown): value is ExchangeError {
  return typeof value === "object" && value !== null && (value as { [brand]?: unknown })[brand] === true;
}
