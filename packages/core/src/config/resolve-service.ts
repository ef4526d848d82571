import { type PathPattern, parsePathPattern } from "@selvage/policy";
import type { z } from "zod";
import type {
  EndpointConfig,
  EndpointProtocol,
  EndpointsConfig,
  HashConfig,
  RetryConfig,
  RouteConfig,
  RouteMatchConfig,
  ServiceConfig,
  ServiceSettings,
} from "./config.js";
import { defaultsOf } from "./fields.js";
import {
  defaultRoutePath,
  defaultWeight,
  type endpointListSchema,
  hashSchema,
  successRateSchema,
} from "./outbound-schema.js";
import { type Filled, overlay } from "./overlay.js";
import type { CheckedOptions } from "./schema.js";

type CheckedOutbound = NonNullable<CheckedOptions["outbound"]>;
type CheckedService = NonNullable<CheckedOutbound["services"]>[string];
type CheckedSettings = NonNullable<CheckedOutbound["defaults"]>;
type CheckedRoute = NonNullable<CheckedSettings["routes"]>[number];
type CheckedEndpoint = z.output<typeof endpointListSchema>[number];
type FilledSettings = Filled<CheckedSettings>;

/** One authority: what is said of it, over what is said of all. */
export function resolveService(
  authority: string,
  service: CheckedService,
  defaults: CheckedSettings,
  absolute: (path: string) => string,
): ServiceConfig {
  const settings = resolveSettings(defaults, service);
  const identity = service.identity ?? null;
  const endpoints = resolveEndpoints(service.endpoints, identity, settings, absolute);
  return { authority, endpoints, identity, ...settings };
}

/** Settings of one authority over those of all, which have every default. */
export function resolveSettings(defaults: CheckedSettings, own: CheckedSettings): ServiceSettings {
  const all = overlay(defaults, own) as FilledSettings;
  const successRate = own.failureAccrual?.successRate ?? defaults.failureAccrual?.successRate;
  const { consecutiveFailures, minPenalty, maxPenalty, jitter } = all.failureAccrual;
  return {
    protocol: all.protocol,
    timeoutMs: all.timeout,
    connectTimeoutMs: all.connectTimeout,
    retry: resolveRetry(all.retry),
    routes: (all.routes as CheckedRoute[]).map((route) => resolveRoute(route, all)),
    retryBudget: {
      ratio: all.retryBudget.ratio,
      minPerSecond: all.retryBudget.minPerSecond,
      ttlMs: all.retryBudget.ttl,
    },
    balancer: {
      defaultRttMs: all.balancer.defaultRtt,
      decayMs: all.balancer.decay,
      zones: all.balancer.zones,
      panicRatio: all.balancer.panicRatio,
      hash: resolveHash(own.balancer?.hash ?? defaults.balancer?.hash),
    },
    failureAccrual: {
      consecutiveFailures,
      minPenaltyMs: minPenalty,
      maxPenaltyMs: maxPenalty,
      jitter,
      successRate: successRate === undefined ? null : resolveSuccessRate(all.failureAccrual.successRate),
    },
  };
}

function resolveHash(written: z.output<typeof hashSchema> | undefined): HashConfig | null {
  if (written === undefined) return null;
  const { header, cookie, maxLoad } = overlay(defaultsOf(hashSchema), written) as Filled<z.output<typeof hashSchema>>;
  return written.header !== undefined
    ? { by: "header", name: header, maxLoad }
    : { by: "cookie", name: cookie, maxLoad };
}

function resolveSuccessRate(written: object): NonNullable<ServiceSettings["failureAccrual"]["successRate"]> {
  const defaults = successRateSchema.parse(defaultsOf(successRateSchema));
  const { threshold, window, minRequests } = overlay(defaults, written) as Filled<typeof defaults>;
  return { threshold, windowMs: window, minRequests };
}

function resolveRetry(retry: FilledSettings["retry"]): RetryConfig {
  const { limit, perTryTimeout, statuses, methods, grpcStatuses, maxReplayBytes } = retry;
  const { min, max, jitter } = retry.backoff;
  const backoff = { minMs: min, maxMs: max, jitter };
  return { limit, perTryTimeoutMs: perTryTimeout, statuses, methods, grpcStatuses, maxReplayBytes, backoff };
}

function resolveRoute(route: CheckedRoute, settings: FilledSettings): RouteConfig {
  const path = route.match?.path ?? defaultRoutePath;
  const method = route.match?.method ?? null;
  const headers = Object.entries(route.match?.headers ?? {}).map(([name, value]) => ({ name, value }));
  const match: RouteMatchConfig = { path: parsePathPattern(path) as PathPattern, method, headers };
  return {
    name: route.name ?? nameOf(path, match),
    match,
    timeoutMs: route.timeout ?? settings.timeout,
    retry: resolveRetry(overlay(settings.retry, route.retry) as FilledSettings["retry"]),
  };
}

/** Without the values of headers, since it becomes a metric label and they may be secrets. */
function nameOf(path: string, match: RouteMatchConfig): string {
  const headers = match.headers.map(({ name }) => ` ${name}`).join("");
  return `${match.method === null ? "" : `${match.method} `}${path}${headers}`;
}

function resolveEndpoints(
  endpoints: CheckedService["endpoints"],
  identity: string | null,
  settings: ServiceSettings,
  absolute: (path: string) => string,
): EndpointsConfig | null {
  if (endpoints === undefined) return null;
  if (!Array.isArray(endpoints)) {
    if (endpoints.dns !== undefined) return { kind: "dns", address: endpoints.dns };
    return endpoints.file !== undefined ? { kind: "file", file: absolute(endpoints.file) } : { kind: "local" };
  }
  return { kind: "list", list: endpoints.map((entry) => resolveEndpoint(entry, identity, settings.protocol)) };
}

/** What is written of one endpoint, with what its service says where it says nothing. */
export function resolveEndpoint(
  entry: CheckedEndpoint,
  identity: string | null,
  protocol: EndpointProtocol,
): EndpointConfig {
  const endpoint = "address" in entry ? entry : { address: entry };
  return {
    ...endpoint.address,
    identity: endpoint.identity === undefined ? identity : endpoint.identity,
    zone: endpoint.zone ?? null,
    weight: endpoint.weight ?? defaultWeight,
    protocol: endpoint.protocol ?? protocol,
    labels: Object.assign(Object.create(null), endpoint.labels),
  };
}
