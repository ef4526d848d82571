import { type DocumentPath, nearestName } from "@selvage/policy";
import type { MeshConfig, NamedMatchConfig, RouteConfig, RouteMatchConfig } from "./config.js";
import { mayBeKnown } from "./known-authority.js";

type Refuse = (keys: DocumentPath, value: unknown, problem: string, remedy: string) => void;

/** Rules across the fields of a list of routes, and across its routes. */
export function checkRoutes(
  routes: readonly RouteConfig[],
  keys: DocumentPath,
  config: Pick<MeshConfig, "outbound" | "workload" | "identity" | "production">,
  refuse: Refuse,
): void {
  const names = new Map<string, number>();
  const matches = new Map<string, number>();
  for (const [i, route] of routes.entries()) {
    const at = [...keys, i];
    const same = [...new Set(route.matches.map(matchText))].map((text) => [text, matches.get(text)] as const);
    const earlier = same.find(([, before]) => before !== undefined);
    if (earlier !== undefined)
      refuse([...at, "match"], undefined, `matches what routes[${earlier[1]}] matches`, "leave one of them out");
    else if (names.has(route.name))
      refuse([...at, "name"], route.name, "must be unique", "give the route a name of its own");
    if (same.length < route.matches.length)
      refuse([...at, "match"], undefined, "says the same twice", "leave one of them out");
    names.set(route.name, i);
    for (const [text] of same) matches.set(text, i);
    checkBackends(route, at, config, refuse);
    checkFilters(route, at, config, refuse);
    if (route.fault !== null && config.production && !config.outbound.allowFaults) {
      const remedy = "leave it out, or set outbound.allowFaults to true";
      refuse([...at, "fault"], undefined, "must not be there where NODE_ENV is production", remedy);
    }
  }
}

function checkBackends(
  { backends }: RouteConfig,
  at: DocumentPath,
  config: Parameters<typeof checkRoutes>[2],
  refuse: Refuse,
): void {
  if (backends.length > 0 && backends.every(({ weight }) => weight === 0)) {
    refuse([...at, "backends"], undefined, "must not all have the weight 0", "nothing could be sent anywhere");
  }
  for (const [i, { service }] of backends.entries()) {
    const where = [...at, "backends", i, "service"];
    if (backends.findIndex((other) => other.service === service) < i)
      refuse(where, service, "is there twice", "leave one of them out, or give it more weight");
    checkService(service, where, config, refuse);
  }
}

function checkService(
  service: string,
  where: DocumentPath,
  config: Parameters<typeof checkRoutes>[2],
  refuse: Refuse,
): void {
  if (mayBeKnown(config, service)) return;
  const nearest = nearestName(service, Object.keys(config.outbound.services));
  const remedy = nearest === null ? "add it to outbound.services" : `did you mean "${nearest}"?`;
  refuse(where, service, "is no service that is known", remedy);
}

function checkFilters(
  route: RouteConfig,
  at: DocumentPath,
  config: Parameters<typeof checkRoutes>[2],
  refuse: Refuse,
): void {
  const { filters } = route;
  if (filters === null) return;
  const { redirect, rewrite, mirror, requestHeaders } = filters;
  const keys = [...at, "filters"];
  if (redirect !== null) {
    const beside = [
      ...(route.backends.length > 0 ? [["backends"]] : []),
      ...(rewrite !== null ? [["filters", "rewrite"]] : []),
      ...(mirror !== null ? [["filters", "mirror"]] : []),
      ...(requestHeaders !== null ? [["filters", "requestHeaders"]] : []),
    ];
    for (const path of beside)
      refuse([...at, ...path], undefined, "must not stand beside filters.redirect", "what is redirected goes nowhere");
    const { scheme, hostname, port, path } = redirect;
    if (scheme === null && hostname === null && port === null && path === null)
      refuse(
        [...keys, "redirect"],
        undefined,
        "leads where it came from",
        "say scheme, hostname, port, path or prefix",
      );
  }
  if (rewrite !== null && rewrite.hostname === null && rewrite.path === null)
    refuse([...keys, "rewrite"], undefined, "changes nothing", "say hostname, path or prefix");
  for (const [name, filter] of [
    ["redirect", redirect],
    ["rewrite", rewrite],
  ] as const) {
    if (filter?.path?.kind === "prefix" && route.matches.some(({ path }) => path.kind !== "prefix"))
      refuse(
        [...keys, name, "prefix"],
        filter.path.value,
        "needs a prefix to replace",
        'match.path must be such as "/a/*"',
      );
  }
  if (mirror !== null) checkService(mirror.service, [...keys, "mirror", "service"], config, refuse);
}

function matchText({ path, method, headers, query, grpc }: RouteMatchConfig): string {
  const sorted = (values: readonly NamedMatchConfig[] = []) =>
    values.map(({ name, kind, value }) => [name, kind, value]).sort();
  return JSON.stringify([path.kind, path.value, method, sorted(headers), sorted(query), grpc]);
}
