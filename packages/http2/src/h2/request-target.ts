// What may stand in a request's pseudo-headers. Both directions are held to it: what an application of ours hands down is
// no safer than what a peer sends, and a blank in a path is a second request to somebody who writes HTTP/1 from it.

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// RFC 3986 without user information, which RFC 9113, section 8.3.1, forbids.
const authorityPattern = /^[A-Za-z0-9\-._~!$&'()*+,;=%:[\]]*$/;
const pathPattern = /^\/[^\x00-\x20\x7f#]*$/;

let goodMethod = "GET";
let goodAuthority = "";

export function isToken(text: string): boolean {
  return tokenPattern.test(text);
}

/** Whether a text is a method. The last good one is remembered: most requests have the same. */
export function isMethod(text: string): boolean {
  if (text === goodMethod) return true;
  if (!tokenPattern.test(text)) return false;
  goodMethod = text;
  return true;
}

/** Whether a text is a host with an optional port, or empty. */
export function isAuthority(text: string): boolean {
  if (text === goodAuthority) return true;
  if (!authorityPattern.test(text)) return false;
  goodAuthority = text;
  return true;
}

/** Whether a text is a path with an optional query, or `*` for OPTIONS. */
export function isPath(text: string, method: string): boolean {
  return text === "*" ? method === "OPTIONS" : pathPattern.test(text);
}

/** Whether two authorities are the same but for the case of letters. */
export function sameAuthority(a: string, b: string): boolean {
  return a === b || (a.length === b.length && a.toLowerCase() === b.toLowerCase());
}
