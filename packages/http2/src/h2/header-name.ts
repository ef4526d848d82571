import { origProtoHeader } from "./orig-proto.js";

/** What a name means to the engine. */
export const nameKind = Object.freeze({
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  protocol: 6,
  unknownPseudo: 7,
  /** RFC 9113, section 8.2.2: has no place in HTTP/2. */
  connection: 8,
  te: 9,
  contentLength: 10,
  host: 11,
  cookie: 12,
  origProto: 13,
  malformed: 14,
} as const);

/** How the encoder treats the values of a name. */
export const indexing = Object.freeze({
  /** As often as it pays. */
  adaptive: 0,
  /** Never: every value is another one. */
  none: 1,
  /** Never, and nobody after us may either (RFC 7541, section 7.1.3). */
  secret: 2,
} as const);

/** An interned header name. */
export class HeaderName {
  readonly text: string;
  readonly kind: number;
  readonly indexing: number;

  constructor(text: string, kind: number, indexing: number) {
    this.text = text;
    this.kind = kind;
    this.indexing = indexing;
  }
}

const kinds: readonly (readonly [string, number])[] = [
  [":method", nameKind.method],
  [":scheme", nameKind.scheme],
  [":authority", nameKind.authority],
  [":path", nameKind.path],
  [":status", nameKind.status],
  [":protocol", nameKind.protocol],
  ["connection", nameKind.connection],
  ["keep-alive", nameKind.connection],
  ["proxy-connection", nameKind.connection],
  ["transfer-encoding", nameKind.connection],
  ["upgrade", nameKind.connection],
  ["http2-settings", nameKind.connection],
  ["te", nameKind.te],
  ["content-length", nameKind.contentLength],
  ["host", nameKind.host],
  ["cookie", nameKind.cookie],
  [origProtoHeader, nameKind.origProto],
];

const neverRepeated = [
  ":path",
  "content-length",
  "content-range",
  "range",
  "date",
  "age",
  "expires",
  "etag",
  "last-modified",
  "if-match",
  "if-none-match",
  "if-modified-since",
  "if-unmodified-since",
  "if-range",
  "location",
  "content-location",
  "referer",
  "link",
  "idempotency-key",
  "x-request-id",
  "x-correlation-id",
  "x-amzn-trace-id",
  "x-cloud-trace-context",
  "traceparent",
  "tracestate",
  "baggage",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "uber-trace-id",
  "grpc-timeout",
  "l5d-time-left",
  "connect-timeout-ms",
  "grpc-trace-bin",
  "grpc-tags-bin",
  "x-envoy-upstream-service-time",
  "server-timing",
  "x-response-time",
  "x-ratelimit-remaining",
  "x-ratelimit-reset",
  "ratelimit",
];

const secrets = ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-csrf-token"];

const known = new Map<string, HeaderName>();
for (const [text, kind] of kinds) known.set(text, new HeaderName(text, kind, indexing.adaptive));
for (const text of neverRepeated) {
  known.set(text, new HeaderName(text, known.get(text)?.kind ?? nameKind.regular, indexing.none));
}
for (const text of secrets) {
  known.set(text, new HeaderName(text, known.get(text)?.kind ?? nameKind.regular, indexing.secret));
}

// RFC 9110, section 5.6.2 (token), without upper case (RFC 9113, section 8.2.1).
const token = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

/** Judges a name. Names the engine acts upon are shared objects; others are made anew, so keep what you get. */
export function headerName(text: string): HeaderName {
  const found = known.get(text);
  if (found !== undefined) return found;
  if (text.charCodeAt(0) === 0x3a) return new HeaderName(text, nameKind.unknownPseudo, indexing.none);
  return new HeaderName(text, token.test(text) ? nameKind.regular : nameKind.malformed, indexing.adaptive);
}
