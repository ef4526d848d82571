// What RFC 9110 (section 5) and RFC 9112 let a message consist of, as tables by octet and as checks of strings.

function table(allowed: (octet: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, octet) => (allowed(octet) ? 1 : 0));
}

/** RFC 9110, section 5.6.2: `token`. */
export const tokenOctets = table((octet) => /[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(octet)));

/** RFC 9110, section 5.5: what a field value consists of, with the spaces and tabs between. No NUL, CR, LF or other control. */
export const valueOctets = table((octet) => octet === 9 || (octet >= 0x20 && octet !== 0x7f));

/**
 * What a request target consists of: visible ASCII but `#`, since a fragment is never sent (RFC 9112, section 3.2), and those who
 * cut it off and those who don't read two different paths.
 */
export const targetOctets = table((octet) => octet > 0x20 && octet < 0x7f && octet !== 0x23);

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const fieldValue = /^[\t\x20-\x7e\x80-\xff]*$/;
const target = /^[\x21\x22\x24-\x7e]+$/;
const authority = /^(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?$/;
let lastLength = "0";
let lastLengthValue = 0;

const contentLength = /^(?:0|[1-9][0-9]{0,14})$/;

export function isToken(text: string): boolean {
  return token.test(text);
}

/** Also refuses what isn't latin1: cut to its low octet, U+010A would be a line feed. */
export function isFieldValue(text: string): boolean {
  return fieldValue.test(text);
}

export function isTarget(text: string): boolean {
  return target.test(text);
}

/**
 * Host and optional port. Narrower than RFC 3986, section 3.2: no userinfo, no percent-encoding, no sub-delimiters, no empty
 * port, because parsers differ about what host these name, and no service is called so.
 */
export function isAuthority(text: string): boolean {
  const match = authority.exec(text);
  return match !== null && (match[1] === undefined || Number(match[1]) <= 65_535);
}

/** The declared length, or -1 when it isn't a plain decimal. No sign, no list, no leading zero (some read octal), below 2^53. */
export function parseContentLength(text: string): number {
  if (text === lastLength) return lastLengthValue;
  if (!contentLength.test(text)) return -1;
  lastLength = text;
  lastLengthValue = Number(text);
  return lastLengthValue;
}

interface Latin1 {
  latin1Slice(start: number, end: number): string;
}

const { latin1Slice } = Buffer.prototype as unknown as Latin1;

/** As `toString("latin1")`, without its look at the name of the encoding; on any Uint8Array. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  return latin1Slice.call(bytes, start, end);
}
