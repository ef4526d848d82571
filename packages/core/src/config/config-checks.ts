import { type DocumentPath, pathText } from "@selvage/policy";
import { formatHostPort } from "./address.js";

import type {
  EgressRuleConfig,
  HostPort,
  MeshConfig,
  RetryConfig,
  RouteConfig,
  ServiceConfig,
  ServiceSettings,
} from "./config.js";

import { formatDuration } from "./duration.js";
import { checkRoutes } from "./route-checks.js";

type IsSet = (keys: DocumentPath) => boolean;
type Refuse = (keys: DocumentPath, value: unknown, problem: string, remedy: string) => void;

/** Rules across fields. `isSet` tells whether somebody wrote a field. */
export function checkConfig(config: MeshConfig, isSet: IsSet, refuse: Refuse): void {
  if (config.production && config.identity.source === "dev") {
    const remedy = 'set identity.source (SELVAGE_IDENTITY_SOURCE) to "ca", "spiffe" or "files"';
    refuse(["identity", "source"], "dev", "must not be dev where NODE_ENV is production", remedy);
  }
  const { identity } = config;
  const own = config.workload.trustDomain;
  if ("federated" in identity && Object.hasOwn(identity.federated, own)) {
    refuse(
      ["identity", "federation", "bundles", own],
      undefined,
      "is this workload's own trust domain",
      "leave it out",
    );
  }
  for (const { trustDomain, spiffe } of "federation" in identity ? identity.federation : []) {
    const keys = ["identity", "federation", "endpoints", trustDomain];
    if (trustDomain === own || ("federated" in identity && Object.hasOwn(identity.federated, trustDomain))) {
      const problem = trustDomain === own ? "is this workload's own trust domain" : "has a bundle from a file, too";
      refuse(keys, undefined, problem, "leave one of them out");
    }
    if (spiffe !== null && !spiffe.id.startsWith(`spiffe://${trustDomain}/`)) {
      const remedy = "only a member of a trust domain can vouch for its bundle";
      refuse([...keys, "id"], spiffe.id, `must be in the trust domain ${trustDomain}`, remedy);
    }
  }
  if (identity.source === "ca" && !identity.serverId.startsWith(`spiffe://${own}/`)) {
    const remedy = "set workload.trustDomain to the domain that the authority issues for";
    refuse(["identity", "serverId"], identity.serverId, `must be in the trust domain ${own}`, remedy);
  }
  checkPorts(config, isSet, refuse);
  const limit = config.inbound.adaptiveLimit;
  if (limit !== null && limit.min > limit.max) {
    refuse(
      ["inbound", "adaptiveLimit", "min"],
      limit.min,
      "must not be above max",
      `inbound.adaptiveLimit.max is ${limit.max}`,
    );
  }
  checkSettings(config.outbound.defaults, ["outbound", "defaults"], config, isSet, refuse);
  for (const [authority, service] of Object.entries(config.outbound.services)) {
    checkSettings(service, ["outbound", "services", authority], config, isSet, refuse);
    checkEndpoints(service, ["outbound", "services", authority], refuse);
  }
  checkEgress(config.outbound.egress.allow, refuse);
}

function checkEgress(rules: readonly EgressRuleConfig[], refuse: Refuse): void {
  for (const [i, rule] of rules.entries()) {
    const { scheme, kind, host, port, text } = rule;
    const same = rules.findIndex(
      (other) => other.scheme === scheme && other.kind === kind && other.host === host && other.port === port,
    );
    if (same !== i)
      refuse(["outbound", "egress", "allow", i], text, `allows what allow[${same}] allows`, "leave one of them out");
  }
}

function checkPorts(config: MeshConfig, isSet: IsSet, refuse: Refuse): void {
  const { inbound, outbound, admin } = config;
  const listeners: { keys: DocumentPath; port: number }[] = [
    { keys: ["inbound", "port"], port: inbound.port },
    { keys: ["outbound", "port"], port: outbound.port },
  ];
  if (admin !== null) listeners.push({ keys: ["admin", "port"], port: admin.port });
  // Only the shim has an app beside it, so only who configures one can have it where we listen.
  const loopback = ["127.0.0.1", "localhost", "::1"].includes(inbound.app.host);
  if (loopback && isSet(["inbound", "app"])) listeners.push({ keys: ["inbound", "app"], port: inbound.app.port });
  for (const [i, listener] of listeners.entries()) {
    const other = listeners.slice(0, i).find(({ port }) => port === listener.port && port !== 0);
    if (other === undefined) continue;
    // What was written is at fault, not what it clashes with by default.
    const [wrong, right] = isSet(listener.keys) ? [listener, other] : [other, listener];
    refuse(
      wrong.keys,
      listener.port,
      `must not be the port of ${right.keys.join(".")}`,
      "use another one, or 0 for a free one",
    );
  }
}

function checkSettings(
  settings: ServiceSettings,
  keys: DocumentPath,
  config: MeshConfig,
  isSet: IsSet,
  refuse: Refuse,
): void {
  checkRetry(
    settings.retry,
    settings.timeoutMs,
    [...keys, "retry"],
    refuse,
    settings === config.outbound.defaults ? null : config.outbound.defaults.retry,
  );
  checkIdleTimeout(
    settings,
    [...keys, "idleTimeout"],
    refuse,
    settings === config.outbound.defaults ? null : config.outbound.defaults,
  );
  const { connectTimeoutMs, timeoutMs } = settings;
  // What is said of more than this may be too long here: the timeout is over first.
  if (timeoutMs > 0 && connectTimeoutMs > timeoutMs && isSet([...keys, "connectTimeout"])) {
    const remedy = `the timeout for everything is ${formatDuration(timeoutMs)}`;
    refuse([...keys, "connectTimeout"], formatDuration(connectTimeoutMs), "must not be above the timeout", remedy);
  }
  const { minPenaltyMs, maxPenaltyMs } = settings.failureAccrual;
  if (minPenaltyMs > maxPenaltyMs) {
    const remedy = `failureAccrual.maxPenalty is ${formatDuration(maxPenaltyMs)}`;
    refuse(
      [...keys, "failureAccrual", "minPenalty"],
      formatDuration(minPenaltyMs),
      "must not be above maxPenalty",
      remedy,
    );
  }
  // Those of a file are checked where it is read, so that its lines can be named.
  if (settings.routesFile !== null) return;
  checkRoutes(settings.routes, [...keys, "routes"], config, refuse);
  for (const [i, route] of settings.routes.entries()) {
    checkRetry(route.retry, route.timeoutMs, [...keys, "routes", i, "retry"], refuse, settings.retry);
    checkIdleTimeout(route, [...keys, "routes", i, "idleTimeout"], refuse, settings);
  }
}

/** An idle timeout that the timeout is always faster than. `outer`: what it may be based on, and was checked by itself. */
export function checkIdleTimeout(
  { timeoutMs, idleTimeoutMs }: Pick<RouteConfig, "timeoutMs" | "idleTimeoutMs">,
  keys: DocumentPath,
  refuse: Refuse,
  outer: Pick<RouteConfig, "idleTimeoutMs"> | null,
): void {
  // What is said of more than this may be too long here: then there is none here.
  if (idleTimeoutMs === 0 || timeoutMs === 0 || idleTimeoutMs < timeoutMs || idleTimeoutMs === outer?.idleTimeoutMs)
    return;
  const remedy = `the timeout for everything is ${formatDuration(timeoutMs)}`;
  refuse(keys, formatDuration(idleTimeoutMs), "must be below the timeout", remedy);
}

/** Rules across the fields of retries. `outer`: what they are based on, and was checked by itself. */
export function checkRetry(
  retry: RetryConfig,
  timeoutMs: number,
  keys: DocumentPath,
  refuse: Refuse,
  outer: RetryConfig | null,
): void {
  const { perTryTimeoutMs, backoff, hedge } = retry;
  if (perTryTimeoutMs > 0 && timeoutMs > 0 && perTryTimeoutMs >= timeoutMs) {
    const remedy = `one attempt must leave time for another within the timeout, which is ${formatDuration(timeoutMs)}`;
    refuse([...keys, "perTryTimeout"], formatDuration(perTryTimeoutMs), "must be below the timeout", remedy);
  }
  const first = [perTryTimeoutMs, timeoutMs].find((ms) => ms > 0 && ms <= (hedge?.delayMs ?? 0)) ?? 0;
  // What is said of more than this may be too long here: then there is none here.
  if (hedge !== null && hedge.limit > 0 && first > 0 && hedge.delayMs !== outer?.hedge?.delayMs) {
    const remedy = `the time is over before, after ${formatDuration(first)}`;
    refuse([...keys, "hedge", "delay"], formatDuration(hedge.delayMs), "must be below the timeouts", remedy);
  }
  if (backoff.minMs > backoff.maxMs) {
    const remedy = `backoff.max is ${formatDuration(backoff.maxMs)}`;
    refuse([...keys, "backoff", "min"], formatDuration(backoff.minMs), "must not be above backoff.max", remedy);
  }
}

function checkEndpoints(service: ServiceConfig, keys: DocumentPath, refuse: Refuse): void {
  if (service.endpoints?.kind !== "list") return;
  const { list } = service.endpoints;
  if (list.every(({ weight }) => weight === 0)) {
    refuse([...keys, "endpoints"], undefined, "must not all have the weight 0", "nothing could be sent anywhere");
  }
  checkEndpointList(list, [...keys, "endpoints"], refuse);
}

/** Rules across the endpoints of one list. */
export function checkEndpointList(list: readonly HostPort[], keys: DocumentPath, refuse: Refuse): void {
  const seen = new Set<string>();
  for (const [i, endpoint] of list.entries()) {
    const address = formatHostPort(endpoint);
    if (seen.has(address))
      refuse([...keys, i], address, "is there twice", "leave one of them out, or give it more weight");
    seen.add(address);
  }
}

/** Where faults are injected. What services have from `outbound.defaults` is not listed again. */
function faultsOf({ outbound }: MeshConfig): { readonly keys: DocumentPath; readonly route: RouteConfig }[] {
  const own = Object.values(outbound.services).flatMap(({ authority, routes }) =>
    JSON.stringify(routes) === JSON.stringify(outbound.defaults.routes)
      ? []
      : routes.map((route, i) => ({ keys: ["outbound", "services", authority, "routes", i, "fault"], route })),
  );
  const all = outbound.defaults.routes.map((route, i) => ({
    keys: ["outbound", "defaults", "routes", i, "fault"],
    route,
  }));
  return [...all, ...own].filter(({ route }) => route.fault !== null);
}

/** Whether any route injects faults, or may do so later because it stands in a file of its own. */
export function mayInjectFaults(config: MeshConfig): boolean {
  const { defaults, services } = config.outbound;
  return faultsOf(config).length > 0 || [defaults, ...Object.values(services)].some((one) => one.routesFile !== null);
}

function federatedWith(identity: MeshConfig["identity"]): string[] {
  if (!("federation" in identity)) return [];
  return [...Object.keys(identity.federated), ...identity.federation.map(({ trustDomain }) => trustDomain)];
}

/** What is allowed but probably not meant. */
export function configWarnings(config: MeshConfig): string[] {
  const warnings = faultsOf(config).map(
    ({ keys, route }) => `${pathText(keys)}: faults are injected into requests of the route ${route.name}`,
  );
  const { identity } = config;
  // An agent of the Workload API knows whom it federates with; of the others we know.
  if (identity.source === "spiffe") return warnings;
  const trusted = [config.workload.trustDomain, ...federatedWith(identity)];
  for (const service of Object.values(config.outbound.services)) {
    const { endpoints } = service;
    const ids = new Set([
      service.identity,
      ...(endpoints?.kind === "list" ? endpoints.list.map((one) => one.identity) : []),
    ]);
    for (const id of ids) {
      if (id === null || trusted.some((trustDomain) => id.startsWith(`spiffe://${trustDomain}/`))) continue;
      const where = `outbound.services[${JSON.stringify(service.authority)}]`;
      warnings.push(`${where}: ${id} can't be verified: there is no trust bundle for its trust domain`);
    }
  }
  return warnings;
}
