import type { HeaderList } from "@selvage/http2";
import type { RouteMatchConfig } from "../config/config.js";

/** Matches everything. */
export const anyMatch: RouteMatchConfig = Object.freeze({
  path: Object.freeze({ kind: "prefix", value: "" }),
  method: null,
  headers: Object.freeze([]),
});

/** Whether a match applies. `path` has no query. */
export function matches(match: RouteMatchConfig, method: string, path: string, headers: HeaderList): boolean {
  if (match.method !== null && match.method !== method) return false;
  const { value } = match.path;
  if (match.path.kind === "exact") {
    if (path !== value) return false;
  } else if (value !== "") {
    if (!path.startsWith(value)) return false;
    // Whole segments only: /foo matches /foo and /foo/bar, not /foobar. 47 is "/".
    if (path.length > value.length && path.charCodeAt(value.length) !== 47) return false;
  }
  for (let i = 0; i < match.headers.length; i++) {
    if (!hasValue(headers, match.headers[i]!.name, match.headers[i]!.value)) return false;
  }
  return true;
}

/**
 * Which of two matches is to be preferred when both apply, as a comparator: the longer path, an exact path before a prefix
 * of the same length, more headers, a method (Gateway API; Linkerd's order). 0: the one that was written first.
 */
export function compareSpecificity(a: RouteMatchConfig, b: RouteMatchConfig): number {
  return (
    b.path.value.length - a.path.value.length ||
    Number(b.path.kind === "exact") - Number(a.path.kind === "exact") ||
    b.headers.length - a.headers.length ||
    Number(b.method !== null) - Number(a.method !== null)
  );
}

/** A repeated header matches with any of its values. */
function hasValue(headers: HeaderList, name: string, value: string): boolean {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === name && headers[i + 1] === value) return true;
  }
  return false;
}
