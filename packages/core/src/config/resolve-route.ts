import { type PathPattern, parsePathPattern } from "@selvage/policy";
import type { z } from "zod";
import type {
  FaultConfig,
  HeaderFilterConfig,
  NamedMatchConfig,
  PathMatchConfig,
  PathModifierConfig,
  RouteConfig,
  RouteFiltersConfig,
  RouteMatchConfig,
} from "./config.js";
import { defaultFaultGrpcStatus, defaultFaultRatio, defaultFaultStatus } from "./fault-schema.js";
import type { routeListSchema } from "./outbound-schema.js";
import { defaultRedirectStatus, defaultRoutePath } from "./route-schema.js";

export type CheckedRoute = z.output<ReturnType<typeof routeListSchema>>[number];
/** What a route has from beside it, where it says nothing itself. */
export type RouteSettings = Pick<RouteConfig, "timeoutMs" | "idleTimeoutMs" | "retry">;
type CheckedMatch = Exclude<NonNullable<CheckedRoute["match"]>, readonly unknown[]>;
type CheckedFilters = NonNullable<CheckedRoute["filters"]>;
type CheckedValues = NonNullable<CheckedMatch["headers"]>;

/** A route as it was written, with what was already made of its settings. */
export function resolveRoute(route: CheckedRoute, settings: RouteSettings): RouteConfig {
  const written = route.match === undefined ? [{}] : Array.isArray(route.match) ? route.match : [route.match];
  const matches = written.map(resolveMatch);
  return {
    name: route.name ?? nameOf(matches[0]!, written[0]!),
    matches,
    ...settings,
    filters: route.filters === undefined ? null : resolveFilters(route.filters),
    backends: (route.backends ?? []).map(({ service, weight = 1 }) => ({ service, weight })),
    overrides: route.overrides ?? false,
    fault: route.fault === undefined ? null : resolveFault(route.fault),
  };
}

function resolveFault({ delay, abort }: NonNullable<CheckedRoute["fault"]>): FaultConfig {
  return {
    delay: delay === undefined ? null : { durationMs: delay.duration, ratio: delay.ratio ?? defaultFaultRatio },
    abort:
      abort === undefined
        ? null
        : {
            status: abort.status ?? defaultFaultStatus,
            grpcStatus: abort.grpcStatus ?? defaultFaultGrpcStatus,
            ratio: abort.ratio ?? defaultFaultRatio,
          },
  };
}

function resolveMatch(match: CheckedMatch): RouteMatchConfig {
  const grpc = match.grpc !== undefined;
  return {
    path: grpc ? grpcPath(match.grpc!) : pathOf(match.path ?? defaultRoutePath),
    method: grpc ? "POST" : (match.method ?? null),
    headers: namedMatches(match.headers),
    query: namedMatches(match.query),
    grpc,
  };
}

function pathOf(path: NonNullable<CheckedMatch["path"]>): PathMatchConfig {
  return typeof path === "string" ? (parsePathPattern(path) as PathPattern) : { kind: "regex", value: path.regex };
}

/** The path of a gRPC call is `/service/method`. */
function grpcPath({ service, method }: NonNullable<CheckedMatch["grpc"]>): PathMatchConfig {
  if (service === undefined) {
    return method === undefined ? { kind: "prefix", value: "" } : { kind: "regex", value: `/[^/]+/${method}` };
  }
  return method === undefined
    ? { kind: "prefix", value: `/${service}` }
    : { kind: "exact", value: `/${service}/${method}` };
}

function namedMatches(values: CheckedValues = {}): NamedMatchConfig[] {
  return Object.entries(values).map(([name, value]) => {
    if (typeof value === "string") return { name, kind: "exact", value };
    return value.regex === undefined
      ? { name, kind: "present", value: "" }
      : { name, kind: "regex", value: value.regex };
  });
}

/** Without the values of headers and query, since it is shown and they may be secrets. */
function nameOf(match: RouteMatchConfig, written: CheckedMatch): string {
  const names = [...match.headers.map(({ name }) => ` ${name}`), ...(match.query ?? []).map(({ name }) => ` ?${name}`)];
  if (written.grpc !== undefined) {
    const { service = "*", method = "*" } = written.grpc;
    return `gRPC ${service}/${method}${names.join("")}`;
  }
  const { kind, value } = match.path;
  const path = kind === "prefix" ? `${value}/*` : value;
  return `${match.method === null ? "" : `${match.method} `}${path}${names.join("")}`;
}

function resolveFilters(filters: CheckedFilters): RouteFiltersConfig | null {
  const { redirect, rewrite, mirror } = filters;
  const resolved: RouteFiltersConfig = {
    requestHeaders: resolveHeaders(filters.requestHeaders),
    responseHeaders: resolveHeaders(filters.responseHeaders),
    redirect:
      redirect === undefined
        ? null
        : {
            scheme: redirect.scheme ?? null,
            hostname: redirect.hostname ?? null,
            port: redirect.port ?? null,
            path: modifierOf(redirect),
            status: redirect.status ?? defaultRedirectStatus,
          },
    rewrite: rewrite === undefined ? null : { hostname: rewrite.hostname ?? null, path: modifierOf(rewrite) },
    mirror: mirror === undefined ? null : { service: mirror.service, ratio: mirror.ratio ?? 1 },
  };
  return Object.values(resolved).every((one) => one === null) ? null : resolved;
}

function modifierOf({
  path,
  prefix,
}: {
  path?: string | undefined;
  prefix?: string | undefined;
}): PathModifierConfig | null {
  if (path !== undefined) return { kind: "full", value: path };
  if (prefix === undefined) return null;
  return { kind: "prefix", value: prefix.endsWith("/") ? prefix.slice(0, -1) : prefix };
}

function resolveHeaders(filter: CheckedFilters["requestHeaders"]): HeaderFilterConfig | null {
  if (filter === undefined) return null;
  const { set = {}, add = {}, remove = [] } = filter;
  const list = (headers: Record<string, string>) => Object.entries(headers).map(([name, value]) => ({ name, value }));
  const resolved = { set: list(set), add: list(add), remove };
  return resolved.set.length + resolved.add.length + remove.length === 0 ? null : resolved;
}
