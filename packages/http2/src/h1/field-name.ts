import { isToken, latin1 } from "./grammar.js";

// What the engine has to know about a field. Numbers, because they are switched on for every field line.
export const plainField = 0;
export const hostField = 1;
export const contentLengthField = 2;
export const transferEncodingField = 3;
export const connectionField = 4;
/** Hop-by-hop, and of no use to us: keep-alive, proxy-connection. */
export const hopField = 5;
export const upgradeField = 6;
export const teField = 7;
export const expectField = 8;
export const cookieField = 9;

const kinds: ReadonlyMap<string, number> = new Map([
  ["host", hostField],
  ["content-length", contentLengthField],
  ["transfer-encoding", transferEncodingField],
  ["connection", connectionField],
  ["keep-alive", hopField],
  ["proxy-connection", hopField],
  ["upgrade", upgradeField],
  ["te", teField],
  ["expect", expectField],
  ["cookie", cookieField],
]);

export function kindOf(lower: string): number {
  return kinds.get(lower) ?? plainField;
}

/**
 * Fields that mean something before the body is read: framing, routing, authentication, content format and controls (RFC 9110,
 * section 6.5.1). In a trailer they are an attempt to be read differently by somebody else.
 */
const notInTrailers: ReadonlySet<string> = new Set([
  ...kinds.keys(),
  "trailer",
  "authorization",
  "proxy-authorization",
  "proxy-authenticate",
  "www-authenticate",
  "set-cookie",
  "content-encoding",
  "content-range",
  "content-type",
  "cache-control",
  "max-forwards",
  "range",
  "location",
  "forwarded",
  "l5d-client-id",
  "l5d-orig-proto",
]);

export function isAllowedInTrailers(lower: string): boolean {
  return !notInTrailers.has(lower) && !lower.startsWith("x-forwarded-");
}

/**
 * End-to-end fields that `Connection` can't remove, whatever it names. RFC 9110, section 7.6.1, forbids a sender to name fields
 * that are meant for all recipients; a hop that obeyed would let a client remove what the next hop trusts or frames by
 * ("hop-by-hop header abuse"). They are kept; other named fields go, as the section asks.
 */
const keptWhenNominated: ReadonlySet<string> = new Set([
  ...notInTrailers,
  "age",
  "content-disposition",
  "content-language",
  "content-location",
  "date",
  "etag",
  "expires",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "origin",
  "pragma",
  "referer",
  "traceparent",
  "tracestate",
  "baggage",
  "user-agent",
  "vary",
  "via",
]);

export function isRemovedWhenNominated(lower: string): boolean {
  return !keptWhenNominated.has(lower) && !lower.startsWith("x-forwarded-") && !lower.startsWith("l5d-");
}

/** A field name as it came over the wire. */
export class FieldName {
  readonly raw: string;
  readonly lower: string;
  readonly kind: number;
  readonly length: number;
  readonly #octets: Uint8Array;

  constructor(raw: string) {
    this.raw = raw;
    this.lower = raw.toLowerCase();
    this.kind = kindOf(this.lower);
    this.length = raw.length;
    this.#octets = Buffer.from(raw, "latin1");
  }

  is(bytes: Uint8Array, start: number, length: number): boolean {
    const octets = this.#octets;
    if (octets.length !== length) return false;
    for (let i = 0; i < length; i++) if (octets[i] !== bytes[start + i]) return false;
    return true;
  }
}

// A direct-mapped cache: bounded by itself, and what floods it costs others no more than a miss.
const slots: (FieldName | null)[] = new Array<FieldName | null>(1024).fill(null);
const longestCached = 64;

/** The name in `bytes`, made once as long as it is used. `hash` is any function of its octets. */
export function readFieldName(bytes: Uint8Array, start: number, end: number, hash: number): FieldName {
  const length = end - start;
  const slot = (hash ^ (hash >>> 10)) & 1023;
  const cached = slots[slot]!;
  if (cached?.is(bytes, start, length)) return cached;
  // Not a slice of the head: a cached name would keep the whole head.
  const name = new FieldName(latin1(bytes, start, end));
  if (length <= longestCached) slots[slot] = name;
  return name;
}

/** Spellings that a rule doesn't give. */
const odd: ReadonlyMap<string, string> = new Map(
  [
    "ETag",
    "WWW-Authenticate",
    "Content-MD5",
    "DNT",
    "TE",
    "NEL",
    "P3P",
    "IM",
    "A-IM",
    "ALPN",
    "Expect-CT",
    "HTTP2-Settings",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-GPC",
    "Sec-WebSocket-Accept",
    "Sec-WebSocket-Extensions",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol",
    "Sec-WebSocket-Version",
    "SourceMap",
    "X-DNS-Prefetch-Control",
    "X-UA-Compatible",
    "X-WebKit-CSP",
    "X-XSS-Protection",
  ].map((name) => [name.toLowerCase(), name]),
);

/** `x-request-id` as `X-Request-Id`: how HTTP/1 applications are used to see it. */
export function trainCase(name: string): string {
  return (
    odd.get(name) ?? name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase())
  );
}

/** A field name as it goes over the wire, with the line that it last made. */
export class WrittenName {
  readonly prefix: string;
  readonly kind: number;
  readonly valid: boolean;
  readonly inTrailers: boolean;
  /** Whether values may be remembered: not secrets, and not what is large. */
  readonly repeats: boolean;
  value: string | null = null;
  line = "";

  constructor(spelled: string) {
    const lower = spelled.toLowerCase();
    this.prefix = `${spelled}: `;
    this.kind = kindOf(lower);
    this.valid = isToken(spelled);
    this.inTrailers = isAllowedInTrailers(lower);
    this.repeats = !/authorization|cookie|token|secret|key|-id$|^trace/.test(lower);
  }
}

const maxWritten = 2048;
const asSpelled = new Map<string, WrittenName>();
const inTrainCase = new Map<string, WrittenName>();

/** The name in Train-Case. */
export function writtenName(lower: string): WrittenName {
  return inTrainCase.get(lower) ?? remember(inTrainCase, lower, trainCase(lower));
}

/** The name in exactly this spelling. */
export function spelledName(spelled: string): WrittenName {
  return asSpelled.get(spelled) ?? remember(asSpelled, spelled, spelled);
}

// A full table stays as it is: names beyond it are made each time, which is slower but no leak.
function remember(names: Map<string, WrittenName>, key: string, spelled: string): WrittenName {
  const name = new WrittenName(spelled);
  if (names.size < maxWritten && key.length <= longestCached) names.set(key, name);
  return name;
}
