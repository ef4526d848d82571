import { isUtf8 } from "node:buffer";

const slash = 0x2f;
const percent = 0x25;
const dot = 0x2e;
const semicolon = 0x3b;
const question = 0x3f;

/** 1 for characters that mean nothing special: visible ASCII other than `/`, `%`, `?`, `#` and the backslash. */
const plain = new Uint8Array(0x80);
/** 1 for characters that a folded path consists of. */
const folded = new Uint8Array(0x80);
for (let c = 0x21; c < 0x7f; c++) {
  if (!"/%?#\\".includes(String.fromCharCode(c))) plain[c] = 1;
  if (c === slash || (plain[c] === 1 && c !== semicolon && (c < 0x41 || c > 0x5a))) folded[c] = 1;
}

/**
 * The one form of a request's path that policy and router both look at: without its query, and with needlessly encoded
 * characters decoded (`%61` is `a`, RFC 3986, section 6.2.2). Case, a trailing slash and `;parameters` stay as they are.
 * `*` (OPTIONS) and the empty path (CONNECT) stand for themselves.
 *
 * `null`: the path is ambiguous, since the application may take it for another one than we do. It has an empty or a dot
 * segment (also encoded, also as `..;`), an encoded slash, backslash, control character or percent-encoded percent
 * encoding, a raw backslash, space, `#`, control or non-ASCII character, an incomplete percent encoding or one that is
 * not UTF-8; or it doesn't start with a slash (absolute form). No path in a rule or route matches it.
 *
 * It only reads: the application still gets the path as it was sent.
 */
export function normalizePath(target: string): string | null {
  const length = target.length;
  if (length === 0 || target === "*") return target;
  if (target.charCodeAt(0) !== slash) return null;
  for (let i = 0; i < length; i++) {
    const c = target.charCodeAt(i);
    if (c < 0x80 && plain[c] === 1) continue;
    if (c === slash) {
      if (i + 1 < length && isAmbiguousSegment(target, i + 1)) return null;
    } else if (c === question) {
      return target.slice(0, i);
    } else {
      return c === percent ? decoded(target) : null;
    }
  }
  return target;
}

/** Empty with something after it, `.` or `..`, the latter two also before parameters, which some servers cut off first. */
function isAmbiguousSegment(path: string, start: number): boolean {
  const first = path.charCodeAt(start);
  if (first === slash) return true;
  if (first !== dot) return false;
  const after = path.charCodeAt(start + 1) === dot ? start + 2 : start + 1;
  if (after >= path.length) return true;
  const c = path.charCodeAt(after);
  return c === slash || c === question || c === semicolon || (c === percent && path.startsWith("3B", after + 1));
}

/** The slow way, for paths with percent encodings. */
function decoded(target: string): string | null {
  const query = target.indexOf("?");
  const path = query === -1 ? target : target.slice(0, query);
  let text = "";
  let bytes = "";
  for (let i = 0; i < path.length; i++) {
    const c = path.charCodeAt(i);
    if (c !== percent) {
      if (c !== slash && (c >= 0x80 || plain[c] === 0)) return null;
      text += path[i];
      bytes += " ";
      continue;
    }
    const byte = byteAt(path, i);
    if (byte < 0x20 || byte === 0x7f || byte === slash || byte === 0x5c) return null;
    text += isUnreserved(byte) ? String.fromCharCode(byte) : path.slice(i, i + 3).toUpperCase();
    bytes += byte < 0x80 ? " " : String.fromCharCode(byte);
    i += 2;
  }
  // Only now, since what was decoded may be part of a dot segment, or of an encoding that was encoded itself.
  for (let i = 0; i + 1 < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === slash && isAmbiguousSegment(text, i + 1)) return null;
    if (c === percent && text.startsWith("25", i + 1) && byteAt(text, i + 2) >= 0) return null;
  }
  return isUtf8(Buffer.from(bytes, "latin1")) ? text : null;
}

/** The byte that two hexadecimal digits after `at` say, or -1. */
function byteAt(path: string, at: number): number {
  const high = digit(path.charCodeAt(at + 1));
  const low = digit(path.charCodeAt(at + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

function digit(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const lower = c | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** RFC 3986, section 2.3. */
function isUnreserved(c: number): boolean {
  const lower = c | 0x20;
  return (
    (lower >= 0x61 && lower <= 0x7a) || (c >= 0x30 && c <= 0x39) || c === dot || c === 0x2d || c === 0x5f || c === 0x7e
  );
}

/**
 * The widest reading that a lenient framework could give a normalised path: decoded, lower case, without `;parameters`,
 * empty segments and trailing slash. Deny rules look at this, so that `/ADMIN/`, `/admin;x` and `/%61dmin` are denied where
 * `/admin` is. Allow rules never do.
 */
export function foldPath(normal: string): string {
  if (isFolded(normal)) return normal;
  const text = normal.includes("%") ? decodeURIComponent(normal) : normal;
  let result = "";
  for (const segment of text.split("/")) {
    const cut = segment.indexOf(";");
    const name = cut === -1 ? segment : segment.slice(0, cut);
    if (name !== "") result += `/${name}`;
  }
  return result === "" ? "/" : result.toLowerCase();
}

function isFolded(path: string): boolean {
  const last = path.length - 1;
  if (last > 0 && path.charCodeAt(last) === slash) return false;
  for (let i = 0; i <= last; i++) if (folded[path.charCodeAt(i)] !== 1) return false;
  return true;
}
