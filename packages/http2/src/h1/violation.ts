import { type ErrorOrigin, ExchangeError, transportError, transportErrors } from "../exchange-error.js";

/** A way to break HTTP/1 that is refused. */
export interface Violation {
  /** What `onProtection` is told. Stable. */
  readonly reason: string;
  /** How a server answers it. */
  readonly status: number;
}

function violation(name: string, status = 400): Violation {
  return Object.freeze({ reason: `h1-${name}`, status });
}

/** All that the parsers refuse. */
export const violations = Object.freeze({
  method: violation("method"),
  target: violation("target"),
  targetTooLong: violation("target-too-long", 414),
  requestLine: violation("request-line"),
  statusLine: violation("status-line"),
  version: violation("version", 505),
  leadingLines: violation("leading-lines"),
  lineEnding: violation("line-ending"),
  fieldName: violation("field-name"),
  fieldValue: violation("field-value"),
  spaceBeforeColon: violation("space-before-colon"),
  obsFold: violation("obs-fold"),
  headTooLarge: violation("head-too-large", 431),
  tooManyFields: violation("too-many-fields", 431),
  hostMissing: violation("host-missing"),
  hostRepeated: violation("host-repeated"),
  hostInvalid: violation("host-invalid"),
  contentLength: violation("content-length"),
  contentLengthRepeated: violation("content-length-repeated"),
  transferEncoding: violation("transfer-encoding"),
  transferEncodingIn10: violation("transfer-encoding-in-1.0"),
  lengthAndEncoding: violation("content-length-and-transfer-encoding"),
  connection: violation("connection"),
  connectBody: violation("connect-body"),
  chunkSize: violation("chunk-size"),
  chunkExtension: violation("chunk-extension"),
  chunkEnd: violation("chunk-end"),
  trailerField: violation("trailer-field"),
  trailersTooLarge: violation("trailers-too-large", 431),
  headTimeout: violation("head-timeout", 408),
  bodyTimeout: violation("body-timeout", 408),
  stalledReader: violation("stalled-reader", 408),
  unreadBody: violation("unread-body"),
  truncated: violation("truncated"),
  unsolicitedResponse: violation("unsolicited-response"),
  informationalFlood: violation("informational-flood"),
  unaskedUpgrade: violation("unasked-upgrade"),
} satisfies Record<string, Violation>);

/** What a request that broke the protocol fails with. */
export function requestError(violation: Violation): ExchangeError {
  const { status, reason } = violation;
  const code =
    status === 431 || status === 414
      ? "SELVAGE_ERR_TOO_LARGE"
      : status === 408
        ? "SELVAGE_ERR_TIMEOUT"
        : "SELVAGE_ERR_MALFORMED";
  return new ExchangeError(
    code,
    `the request broke HTTP/1 (${reason})`,
    { status, grpcStatus: transportErrors[code].grpcStatus },
    "caller",
  );
}

/** What a request fails with whose response broke the protocol. */
export function responseError(violation: Violation, origin: ErrorOrigin = "peer"): ExchangeError {
  const message = `the response broke HTTP/1 (${violation.reason})`;
  return transportError(violation.status === 408 ? "SELVAGE_ERR_TIMEOUT" : "SELVAGE_ERR_PROTOCOL", message, origin);
}
