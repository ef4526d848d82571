/** What the first bytes of a connection say. `more`: they don't yet. */
export type FirstBytes = "tls" | "http/2" | "http/1" | "opaque" | "more";

/** Undecided after this many bytes means opaque. Only a request line with a method that we don't know gets so far. */
export const maxDetectBytes = 1024;

// RFC 9113, section 3.4. Linkerd decides after 14 bytes; "PRI" is reserved, so a longer match adds nothing.
const preface = Buffer.from("PRI * HTTP/2.0");
const knownMethods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
const tls = 0x16;
const tlsMajor = 0x03;
const lf = 0x0a;
const cr = 0x0d;
const space = 0x20;

const tokenCharacters = new Uint8Array(256);
for (const c of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  tokenCharacters[c.charCodeAt(0)] = 1;
}

/**
 * Tells protocols apart by what a client sends first: a TLS handshake record, HTTP/2's preface, or an HTTP/1 request line
 * (RFC 9112, section 3). A known method followed by a target decides at once; any other method only with the whole line,
 * because many protocols begin with a word and a space.
 */
export function classifyFirstBytes(bytes: Uint8Array): FirstBytes {
  const first = bytes[0];
  if (first === undefined) return "more";
  if (first === tls) {
    if (bytes.length === 1) return "more";
    return bytes[1] === tlsMajor ? "tls" : "opaque";
  }
  let matched = 0;
  while (matched < preface.length && matched < bytes.length && bytes[matched] === preface[matched]) matched++;
  if (matched === preface.length) return "http/2";
  if (matched === bytes.length) return "more";
  return classifyRequestLine(bytes);
}

function classifyRequestLine(bytes: Uint8Array): FirstBytes {
  let start = 0;
  // RFC 9112, section 2.2: an empty line before the request line is ignored.
  while (start < 2 && (bytes[start] === cr || bytes[start] === lf)) start++;
  let at = start;
  while (at < bytes.length && tokenCharacters[bytes[at]!] === 1) at++;
  if (at === bytes.length) return at > maxDetectBytes ? "opaque" : "more";
  if (at === start || bytes[at] !== space) return "opaque";
  const target = bytes[at + 1];
  if (target === undefined) return "more";
  if (target <= space || target >= 0x7f) return "opaque";
  if (knownMethods.includes(latin1(bytes, start, at))) return "http/1";
  const end = bytes.indexOf(lf, at);
  if (end === -1) return bytes.length >= maxDetectBytes ? "opaque" : "more";
  return / HTTP\/\d\.\d\r?\n$/.test(latin1(bytes, at, end + 1)) ? "http/1" : "opaque";
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString("latin1");
}
