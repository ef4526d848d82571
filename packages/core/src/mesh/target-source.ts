import type { EndpointFactory } from "../balancer/endpoint.js";
import type { MeshConfig, ServiceConfig, ServiceSettings } from "../config/config.js";
import type { LocalRegistry } from "../registry/local-registry.js";
import { compileRetryPolicy } from "../resilience/retry-policy.js";
import { DnsResolver } from "../resolver/dns-resolver.js";
import { endpointAddress } from "../resolver/endpoint-address.js";
import { FileResolver } from "../resolver/file-resolver.js";
import { ListResolver } from "../resolver/list-resolver.js";
import { LoggedResolver } from "../resolver/logged-resolver.js";
import type { Resolver } from "../resolver/resolver.js";
import type { Route } from "../router/route.js";
import { systemClock } from "../runtime/clock.js";
import type { TargetConfig } from "../target/target.js";
import type { TargetSource } from "../target/target-table.js";
import type { Log } from "./log.js";

export interface TargetSourceParts {
  readonly config: MeshConfig;
  /** Where authorities are looked up that are not configured, or configured as local; `null`: nowhere. */
  readonly registry: LocalRegistry | null;
  /** Makes the transports of one authority. */
  readonly factory: (settings: ServiceSettings) => EndpointFactory;
  readonly log: Log;
}

/**
 * What an authority is, from configuration and the local registry. A name without a dot is one of this workload's own
 * namespace; a port in the name is looked for as written first, then ignored.
 */
export function createTargetSource(parts: TargetSourceParts): TargetSource {
  const { config, registry } = parts;
  const { services, defaults } = config.outbound;
  return (name) => {
    for (const candidate of candidates(name, config.workload.namespace)) {
      const service = services[candidate];
      if (service) return targetConfig(parts, candidate, service, service);
    }
    const local = candidates(name, config.workload.namespace).at(-1);
    // Anything may appear in the registry later, but an address can't: that is a plain one, outside the mesh.
    if (registry === null || local === undefined || isAddress(local)) return null;
    return targetConfig(parts, local, null, defaults);
  };
}

/** What there is, for those who asked for something else. */
export function explainUnknown(config: MeshConfig, registry: LocalRegistry | null): string {
  const known = [...Object.keys(config.outbound.services), ...(registry?.authorities() ?? [])];
  const list = known.length > 0 ? `known are ${[...new Set(known)].sort().join(", ")}` : "no service is known";
  return `${list}; add it to outbound.services`;
}

function candidates(name: string, namespace: string): string[] {
  const host = /^(.*):\d+$/.exec(name)?.[1] ?? name;
  const qualified = host.includes(".") ? host : `${host}.${namespace}`;
  return [...new Set([name, host, qualified])].filter((one) => one !== "");
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes("[") || /^localhost(\.|$)/.test(host);
}

function targetConfig(
  parts: TargetSourceParts,
  authority: string,
  service: ServiceConfig | null,
  settings: ServiceSettings,
): TargetConfig | null {
  const resolver = resolverOf(parts, authority, service);
  if (resolver === null) return null;
  return {
    authority,
    resolver,
    identity: service?.identity ?? null,
    routes: settings.routes.map(
      (route): Route => ({
        name: route.name,
        match: route.match,
        timeoutMs: route.timeoutMs,
        retry: compileRetryPolicy(route.retry),
      }),
    ),
    fallback: {
      name: "default",
      match: { path: { kind: "prefix", value: "" }, method: null, headers: [] },
      timeoutMs: settings.timeoutMs,
      retry: compileRetryPolicy(settings.retry),
    },
    balancing: {
      queue: parts.config.outbound.queue,
      panicRatio: settings.balancer.panicRatio,
      zone: settings.balancer.zones === "prefer" ? parts.config.workload.zone : null,
      ewma: settings.balancer,
      accrual: settings.failureAccrual,
      hash: settings.balancer.hash,
    },
    retryBudget: settings.retryBudget,
    factory: parts.factory(settings),
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
