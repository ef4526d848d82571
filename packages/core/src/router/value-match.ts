import type { HeaderList } from "@selvage/http2";
import type { NamedMatchConfig } from "../config/config.js";
import { compileRegex, type LinearRegex } from "./linear-regex.js";

/** What a header or query parameter must be, made for looking up. */
export interface NamedMatch {
  readonly name: string;
  /** `null`: any value that `regex` matches, or any at all. */
  readonly value: string | null;
  readonly regex: LinearRegex | null;
}

/** @throws TypeError for a regular expression that can't be compiled; what is loaded was checked before */
export function compileNamedMatch({ name, kind, value }: NamedMatchConfig): NamedMatch {
  return { name, value: kind === "exact" ? value : null, regex: kind === "regex" ? regexOf(value) : null };
}

export function regexOf(source: string): LinearRegex {
  const regex = compileRegex(source);
  if ("problem" in regex) throw new TypeError(`${source} ${regex.problem}`);
  return regex;
}

/** A repeated header matches with any of its values. */
export function headerMatches(headers: HeaderList, match: NamedMatch): boolean {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === match.name && valueMatches(headers[i + 1]!, match)) return true;
  }
  return false;
}

/** Of a repeated parameter the first counts (Gateway API). Names and values are compared as forms encode them. */
export function queryMatches(target: string, match: NamedMatch): boolean {
  let start = target.indexOf("?") + 1;
  if (start === 0) return false;
  while (start <= target.length) {
    let end = target.indexOf("&", start);
    if (end === -1) end = target.length;
    let equals = target.indexOf("=", start);
    if (equals === -1 || equals > end) equals = end;
    if (isPart(target, start, equals, match.name)) {
      const from = Math.min(equals + 1, end);
      if (match.regex !== null) return match.regex.matches(decoded(target.slice(from, end)));
      return match.value === null || isPart(target, from, end, match.value);
    }
    start = end + 1;
  }
  return false;
}

function valueMatches(value: string, match: NamedMatch): boolean {
  if (match.regex !== null) return match.regex.matches(value);
  return match.value === null || match.value === value;
}

/** Whether a part of a query says `text`. Makes no string unless something is encoded in that part. */
function isPart(target: string, start: number, end: number, text: string): boolean {
  for (let i = start; i < end; i++) {
    const c = target.charCodeAt(i);
    // 37 is "%", 43 is "+".
    if (c === 37 || c === 43) return decoded(target.slice(start, end)) === text;
  }
  return end - start === text.length && target.startsWith(text, start);
}

function decoded(text: string): string {
  const spaced = text.replaceAll("+", " ");
  if (!spaced.includes("%")) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Not encoded as it should be: it stands for itself.
    return text;
  }
}
