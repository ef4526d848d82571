import type { HeaderList } from "@selvage/http2";
import type { RouteMatchConfig } from "../config/config.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import type { LinearRegex } from "./linear-regex.js";
import { compileNamedMatch, headerMatches, type NamedMatch, queryMatches, regexOf } from "./value-match.js";

/** Matches everything. */
export const anyMatch: RouteMatchConfig = Object.freeze({
  path: Object.freeze({ kind: "prefix", value: "" }),
  method: null,
  headers: Object.freeze([]),
});

/** What a match asks for beside path and method, made for looking up. */
export interface CompiledMatch {
  readonly config: RouteMatchConfig;
  readonly pathRegex: LinearRegex | null;
  readonly grpc: boolean;
  readonly headers: readonly NamedMatch[];
  readonly query: readonly NamedMatch[];
}

/** One authority's table is made anew for each of its targets; the expressions in it are not. */
const compiledMatches = new WeakMap<RouteMatchConfig, CompiledMatch>();

export function compileMatch(config: RouteMatchConfig): CompiledMatch {
  let compiled = compiledMatches.get(config);
  if (compiled === undefined) {
    compiled = {
      config,
      pathRegex: config.path.kind === "regex" ? regexOf(config.path.value) : null,
      grpc: config.grpc === true,
      headers: config.headers.map(compileNamedMatch),
      query: (config.query ?? []).map(compileNamedMatch),
    };
    compiledMatches.set(config, compiled);
  }
  return compiled;
}

/** Whether a match applies, for a request whose path and method do. */
export function restMatches(match: CompiledMatch, method: string, target: string, headers: HeaderList): boolean {
  if (match.grpc && !isGrpcRequest(method, headers)) return false;
  for (let i = 0; i < match.headers.length; i++) {
    if (!headerMatches(headers, match.headers[i]!)) return false;
  }
  for (let i = 0; i < match.query.length; i++) {
    if (!queryMatches(target, match.query[i]!)) return false;
  }
  return true;
}

/**
 * Which of two matches is to be preferred when both apply, as a comparator (Gateway API): an exact path, then the longest
 * prefix, then a regular expression, then any path; then gRPC, a method, more headers, more query parameters. 0: the one
 * that was written first.
 */
export function compareSpecificity(a: RouteMatchConfig, b: RouteMatchConfig): number {
  return (
    pathRank(b) - pathRank(a) ||
    (a.path.kind === "prefix" ? b.path.value.length - a.path.value.length : 0) ||
    Number(b.grpc === true) - Number(a.grpc === true) ||
    Number(b.method !== null) - Number(a.method !== null) ||
    b.headers.length - a.headers.length ||
    (b.query?.length ?? 0) - (a.query?.length ?? 0)
  );
}

function pathRank({ path }: RouteMatchConfig): number {
  if (path.kind === "exact") return 3;
  if (path.kind === "regex") return 1;
  return path.value === "" ? 0 : 2;
}
