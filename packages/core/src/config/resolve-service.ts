import type { DocumentPath } from "@selvage/policy";
import type { z } from "zod";
import type {
  EndpointConfig,
  EndpointProtocol,
  EndpointsConfig,
  HashConfig,
  HedgeConfig,
  RetryConfig,
  RouteConfig,
  ServiceConfig,
  ServiceSettings,
} from "./config.js";
import { defaultsOf } from "./fields.js";
import {
  defaultWeight,
  type endpointListSchema,
  hashSchema,
  hedgeSchema,
  successRateSchema,
} from "./outbound-schema.js";
import { type Filled, overlay } from "./overlay.js";
import { type CheckedRoute, type RouteSettings, resolveRoute } from "./resolve-route.js";
import type { CheckedOptions } from "./schema.js";

type CheckedOutbound = NonNullable<CheckedOptions["outbound"]>;
type CheckedService = NonNullable<CheckedOutbound["services"]>[string];
type CheckedSettings = NonNullable<CheckedOutbound["defaults"]>;
type CheckedEndpoint = z.output<ReturnType<typeof endpointListSchema>>[number];
type FilledSettings = Filled<CheckedSettings>;

/** One authority: what is said of it, over what is said of all. */
export function resolveService(
  authority: string,
  service: CheckedService,
  defaults: CheckedSettings,
  absolute: (keys: DocumentPath, path: string) => string,
): ServiceConfig {
  const own = ["outbound", "services", authority];
  const settings = resolveSettings(defaults, service, (path) => {
    return absolute(
      service.routes === undefined ? ["outbound", "defaults", "routes", "file"] : [...own, "routes", "file"],
      path,
    );
  });
  const identity = service.identity ?? null;
  const file = (path: string) => absolute([...own, "endpoints", "file"], path);
  const endpoints = resolveEndpoints(service.endpoints, identity, settings, file);
  return { authority, endpoints, identity, ...settings };
}

/** Settings of one authority over those of all, which have every default. Routes that are in a file are not read here. */
export function resolveSettings(
  defaults: CheckedSettings,
  own: CheckedSettings,
  absolute: (path: string) => string,
): ServiceSettings {
  const all = overlay(defaults, own) as FilledSettings;
  const successRate = own.failureAccrual?.successRate ?? defaults.failureAccrual?.successRate;
  const { consecutiveFailures, minPenalty, maxPenalty, jitter } = all.failureAccrual;
  const timeoutMs = all.timeout;
  const idleTimeoutMs = all.idleTimeout;
  const retry = resolveRetry(all.retry);
  const routes = all.routes as CheckedRoute[] | { readonly file: string };
  return {
    protocol: all.protocol,
    timeoutMs,
    idleTimeoutMs,
    connectTimeoutMs: all.connectTimeout,
    retry,
    routes: Array.isArray(routes)
      ? routes.map((route) => resolveRouteOf(route, { timeoutMs, idleTimeoutMs, retry }))
      : [],
    routesFile: Array.isArray(routes) ? null : absolute(routes.file),
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

function resolveHash(written: z.output<ReturnType<typeof hashSchema>> | false | undefined): HashConfig | null {
  if (written === undefined || written === false) return null;
  const { header, cookie, maxLoad } = overlay(defaultsOf(hashSchema()), written) as Filled<
    z.output<ReturnType<typeof hashSchema>>
  >;
  return written.header !== undefined
    ? { by: "header", name: header, maxLoad }
    : { by: "cookie", name: cookie, maxLoad };
}

function resolveSuccessRate(written: object): NonNullable<ServiceSettings["failureAccrual"]["successRate"]> {
  const defaults = successRateSchema().parse(defaultsOf(successRateSchema()));
  const { threshold, window, minRequests } = overlay(defaults, written) as Filled<typeof defaults>;
  return { threshold, windowMs: window, minRequests };
}

function resolveRetry(retry: FilledSettings["retry"]): RetryConfig {
  const { limit, perTryTimeout, statuses, methods, grpcStatuses, maxReplayBytes } = retry;
  const { min, max, jitter } = retry.backoff;
  const backoff = { minMs: min, maxMs: max, jitter };
  const own = { limit, perTryTimeoutMs: perTryTimeout, statuses, methods, grpcStatuses, maxReplayBytes, backoff };
  return { ...own, hedge: resolveHedge(retry.hedge) };
}

/** `undefined`: nobody wrote it, at any level. */
function resolveHedge(written: object | undefined): HedgeConfig | null {
  if (written === undefined) return null;
  const defaults = hedgeSchema().parse(defaultsOf(hedgeSchema()));
  const { delay, limit } = overlay(defaults, written) as Filled<typeof defaults>;
  return { delayMs: delay, limit };
}

/** A retry policy as it would be written. */
function writtenRetry(retry: RetryConfig): FilledSettings["retry"] {
  const { limit, perTryTimeoutMs: perTryTimeout, statuses, methods, grpcStatuses, maxReplayBytes } = retry;
  const { minMs: min, maxMs: max, jitter } = retry.backoff;
  const lists = { statuses: [...statuses], methods: [...methods], grpcStatuses: [...grpcStatuses] };
  const hedge = retry.hedge === null ? {} : { hedge: { delay: retry.hedge.delayMs, limit: retry.hedge.limit } };
  const written = { limit, perTryTimeout, ...lists, maxReplayBytes, backoff: { min, max, jitter }, ...hedge };
  return written as FilledSettings["retry"];
}

/** A route over the settings beside it. */
export function resolveRouteOf(route: CheckedRoute, settings: RouteSettings): RouteConfig {
  return resolveRoute(route, {
    timeoutMs: route.timeout ?? settings.timeoutMs,
    idleTimeoutMs: route.idleTimeout ?? settings.idleTimeoutMs,
    retry:
      route.retry === undefined
        ? settings.retry
        : resolveRetry(overlay(writtenRetry(settings.retry), route.retry) as FilledSettings["retry"]),
  });
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
