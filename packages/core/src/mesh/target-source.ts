import { isIP } from "node:net";
import type { EndpointFactory } from "../balancer/endpoint.js";
import type { MeshConfig, ServiceConfig, ServiceSettings } from "../config/config.js";
import { authorityCandidates } from "../config/known-authority.js";
import { isLocalhost, outsideHost, type TargetScheme } from "../egress/egress-rules.js";
import type { EgressTargets } from "../egress/egress-targets.js";
import type { LocalRegistry } from "../registry/local-registry.js";
import { compileRetryPolicy } from "../resilience/retry-policy.js";
import { DnsResolver } from "../resolver/dns-resolver.js";
import { endpointAddress } from "../resolver/endpoint-address.js";
import { FileResolver } from "../resolver/file-resolver.js";
import { ListResolver } from "../resolver/list-resolver.js";
import { LoggedResolver } from "../resolver/logged-resolver.js";
import type { Resolver } from "../resolver/resolver.js";
import type { Route } from "../router/route.js";
import { anyMatch } from "../router/route-match.js";
import { routesOf } from "../router/routes-of.js";
import { systemClock } from "../runtime/clock.js";
import type { TargetConfig } from "../target/target.js";
import type { TargetSource } from "../target/target-table.js";
import type { Log } from "./log.js";
import { RouteFile } from "./route-file.js";

export interface TargetSourceParts {
  readonly config: MeshConfig;
  /** Where authorities are looked up that are not configured, or configured as local; `null`: nowhere. */
  readonly registry: LocalRegistry | null;
  /** Makes the transports of one authority. */
  readonly factory: (settings: ServiceSettings) => EndpointFactory;
  /** The names outside the mesh; absent: none. */
  readonly egress?: EgressTargets;
  readonly log: Log;
}

/**
 * What an authority is, from configuration and the local registry. A name without a dot is one of this workload's own
 * namespace; a port in the name is looked for as written first, then ignored.
 */
export function createTargetSource(parts: TargetSourceParts): TargetSource {
  const { config, registry } = parts;
  const { services, defaults } = config.outbound;
  const files = new Map<ServiceSettings, RouteFile>();
  const routeFile = (settings: ServiceSettings): RouteFile | null => {
    if (settings.routesFile === null) return null;
    let file = files.get(settings);
    if (file === undefined) {
      file = new RouteFile(settings.routesFile, settings, parts);
      files.set(settings, file);
    }
    return file;
  };
  return (name, scheme) => {
    for (const candidate of authorityCandidates(name, config.workload.namespace)) {
      const service = services[candidate];
      if (service) return targetConfig(parts, candidate, service, service, routeFile(service));
    }
    const local = authorityCandidates(name, config.workload.namespace).at(-1);
    const outside = parts.egress?.find(name, scheme) ?? null;
    // A workload that is here now is meant rather than one that has the same name elsewhere.
    if (local !== undefined && isServed(registry, local))
      return targetConfig(parts, local, null, defaults, routeFile(defaults));
    // What is not here may be misspelt: that is said at once. Who wants calls to wait for a workload names it as a service.
    return outside === null ? null : parts.egress!.target(outside);
  };
}

/** What there is, for those who asked for something else, and what to do. */
export function explainUnknown(config: MeshConfig, registry: LocalRegistry | null, authority: string): string {
  const known = [...Object.keys(config.outbound.services), ...(registry?.authorities() ?? [])];
  const list = known.length > 0 ? `known are ${[...new Set(known)].sort().join(", ")}` : "no service is known";
  if (registry === null) return `${list}; add it to outbound.services`;
  const outside = authority.includes(".") ? ", or to outbound.egress.allow if it is outside the mesh" : "";
  return `${list}; start it, or add it to outbound.services${outside}`;
}

/**
 * Whether a name that is not known is somebody else's, rather than that of a service which is missing: it has a dot, and another
 * name space than this workload and the services that it knows.
 */
export function isOutside(
  config: MeshConfig,
  registry: LocalRegistry | null,
  name: string,
  scheme: TargetScheme,
): boolean {
  const host = outsideHost(name, scheme)?.host;
  if (host === undefined) return false;
  if (isIP(host) !== 0 || isLocalhost(host)) return true;
  if (!host.includes(".")) return false;
  // In development a workload of any name space may not have been started yet; services are called by http.
  if (registry !== null && scheme === "http") return false;
  const spaceOf = (service: string) => {
    const known = outsideHost(service, scheme)?.host ?? "";
    return isIP(known) === 0 ? known.slice(known.indexOf(".") + 1) : "";
  };
  const known = [...Object.keys(config.outbound.services), ...(registry?.authorities() ?? [])];
  const spaces = [config.workload.namespace, ...known.filter((service) => service.includes(".")).map(spaceOf)];
  return !spaces.some((space) => space !== "" && host.endsWith(`.${space}`));
}

function isServed(registry: LocalRegistry | null, authority: string): boolean {
  return registry?.authorities().includes(authority) === true;
}

function targetConfig(
  parts: TargetSourceParts,
  authority: string,
  service: ServiceConfig | null,
  settings: ServiceSettings,
  file: RouteFile | null,
): TargetConfig | null {
  const own = resolverOf(parts, authority, service);
  // Without endpoints of its own it can still say where its requests go.
  const resolver =
    own ?? (service !== null && (file !== null || settings.routes.length > 0) ? new ListResolver([]) : null);
  if (resolver === null) return null;
  const { config, factory } = parts;
  const identity = service?.identity ?? null;
  const routes = file?.routes ?? settings.routes;
  return {
    authority,
    resolver,
    identity,
    ...targetSettings(config, { ...settings, routes }),
    ...(own === null && { fallback: null }),
    ...(file !== null && {
      watchRoutes: (onRoutes: (routes: readonly Route[]) => void) =>
        file.watch((next) => onRoutes(next.flatMap(routesOf))),
    }),
    factory: factory(settings),
  };
}

/** What settings come to for one target. */
export function targetSettings(
  config: MeshConfig,
  settings: ServiceSettings,
): Pick<TargetConfig, "routes" | "fallback" | "balancing" | "retryBudget"> {
  return {
    routes: settings.routes.flatMap(routesOf),
    fallback: {
      name: "default",
      match: anyMatch,
      timeoutMs: settings.timeoutMs,
      idleTimeoutMs: settings.idleTimeoutMs,
      retry: compileRetryPolicy(settings.retry),
      filters: null,
      backends: null,
      overrides: false,
    },
    balancing: {
      queue: config.outbound.queue,
      panicRatio: settings.balancer.panicRatio,
      zone: settings.balancer.zones === "prefer" ? config.workload.zone : null,
      ewma: settings.balancer,
      accrual: settings.failureAccrual,
      hash: settings.balancer.hash,
    },
    retryBudget: settings.retryBudget,
  };
}

function resolverOf(parts: TargetSourceParts, authority: string, service: ServiceConfig | null): Resolver | null {
  const endpoints = service?.endpoints ?? null;
  if (endpoints === null || endpoints.kind === "local") return parts.registry?.resolver(authority) ?? null;
  const { identity, protocol } = service!;
  switch (endpoints.kind) {
    case "list":
      return new ListResolver(endpoints.list.map(endpointAddress));
    case "dns": {
      const { host: name, port } = endpoints.address;
      const dns = new DnsResolver({ name, port, identity, attributes: { protocol }, clock: systemClock });
      return new LoggedResolver(dns, authority, parts.log);
    }
    case "file":
      return new LoggedResolver(new FileResolver({ file: endpoints.file, identity, protocol }), authority, parts.log);
  }
}
