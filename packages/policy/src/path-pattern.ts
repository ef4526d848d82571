import { normalizePath } from "./normalize-path.js";

/**
 * A path as rules and routes write it. `exact`: the path is `value`. `prefix` (written `/a/*`): the path is `value` or
 * goes on with a slash after it, so whole segments count: `/a/*` matches `/a`, `/a/` and `/a/b`, not `/ab` (Gateway API's
 * PathPrefix). The value of the prefix that matches everything is empty.
 */
export interface PathPattern {
  readonly kind: "exact" | "prefix";
  readonly value: string;
}

/** Why a text is not what it should be, and what to write. */
export interface Refusal {
  readonly problem: string;
  readonly remedy: string;
}

/** Reads a pattern. Refuses what could never match or would not mean what it looks like (`/a*`, `/:id`, `/a/../b`). */
export function parsePathPattern(text: string): PathPattern | Refusal {
  if (!text.startsWith("/")) return { problem: 'must start with "/"', remedy: `write "/${text}"` };
  if (text.includes("?"))
    return { problem: "must not have a query", remedy: "leave out what follows the question mark" };
  const prefix = text.endsWith("/*");
  const value = prefix ? text.slice(0, -2) : text;
  if (value.includes("*"))
    return { problem: "may have a * as its last segment only", remedy: 'write a prefix as "/a/b/*"' };
  for (const segment of value.split("/")) {
    if (segment.startsWith(":") || segment.includes("{") || segment.includes("}")) {
      return { problem: "must not have parameters", remedy: 'a path is exact ("/a/b") or a prefix ("/a/*")' };
    }
  }
  const normal = normalizePath(value);
  if (normal === null) return { problem: "must not be ambiguous", remedy: "see docs/policy.md on paths" };
  if (normal !== value)
    return { problem: "must be in its normal form", remedy: `write "${normal}${prefix ? "/*" : ""}"` };
  return { kind: prefix ? "prefix" : "exact", value };
}

/** Whether a path that `normalizePath` (or `foldPath`, for a folded pattern) gave matches. */
export function matchesPath(pattern: PathPattern, path: string): boolean {
  const value = pattern.value;
  if (path.length === value.length) return (pattern.kind === "exact" || value !== "") && path === value;
  return pattern.kind === "prefix" && path.charCodeAt(value.length) === 0x2f && path.startsWith(value);
}
