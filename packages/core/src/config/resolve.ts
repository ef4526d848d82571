import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { DocumentPath, RateLimitDocument, RuleDocument } from "@selvage/policy";
import { parseEgressRule } from "../egress/egress-rule.js";
import type {
  EgressRuleConfig,
  FederationEndpointConfig,
  IdentityConfig,
  MeshConfig,
  OutboundConfig,
  WorkloadConfig,
} from "./config.js";
import { parseDuration } from "./duration.js";
import { defaultsOf } from "./fields.js";
import { defaultLifetime, refuseSocket } from "./identity-schema.js";
import type { InboundConfig, PolicyConfig } from "./inbound-config.js";
import { adaptiveLimitSchema } from "./inbound-schema.js";
import type { BundleEndpointOptions } from "./options.js";
import { type Filled, overlay } from "./overlay.js";
import { resolveService, resolveSettings } from "./resolve-service.js";
import { type CheckedOptions, meshSchema } from "./schema.js";

/** What the options alone don't say. */
export interface ResolveContext {
  readonly cwd: string;
  readonly production: boolean;
  readonly file: string | null;
  readonly origins: Readonly<Record<string, string>>;
  /** `SPIFFE_ENDPOINT_SOCKET` */
  readonly spiffeSocket: string | undefined;
  /** What a relative path in a field is relative to. */
  directoryOf(keys: DocumentPath): string;
  /** Called for what only shows when everything is put together. */
  refuse(keys: DocumentPath, value: unknown, problem: string, remedy: string): void;
}

/** Fills in every default. Cross-field rules are `checkConfig`'s. */
export function resolveConfig(options: CheckedOptions, context: ResolveContext): MeshConfig {
  const all = overlay(defaults(), options) as Filled<CheckedOptions>;
  return {
    workload: resolveWorkload(all.workload, options.workload, context.cwd),
    stateDir: options.stateDir === undefined ? undefined : pathOf(context, ["stateDir"], options.stateDir),
    identity: resolveIdentity(options.identity ?? { source: "dev" }, all.workload.trustDomain, context),
    inbound: resolveInbound(all.inbound, options.inbound, context),
    outbound: resolveOutbound(all.outbound, options.outbound, context),
    admin: options.admin === false ? null : (all.admin as { host: string; port: number }),
    telemetry: { traces: all.telemetry.traces },
    drain: { timeoutMs: all.drain.timeout, delayMs: all.drain.delay },
    production: context.production,
    file: context.file,
    origins: context.origins,
    warnings: [],
  };
}

let parsedDefaults: CheckedOptions | undefined;

function defaults(): CheckedOptions {
  parsedDefaults ??= meshSchema().parse(defaultsOf(meshSchema()));
  return parsedDefaults;
}

function pathOf(context: ResolveContext, keys: DocumentPath, path: string): string {
  return resolve(context.directoryOf(keys), path);
}

function resolveWorkload(
  workload: { namespace: string; trustDomain: string },
  given: CheckedOptions["workload"],
  cwd: string,
): WorkloadConfig {
  const name = given?.name ?? packageName(cwd) ?? segmentOf(basename(resolve(cwd))) ?? "app";
  const { namespace, trustDomain } = workload;
  return {
    name,
    namespace,
    trustDomain,
    id: `spiffe://${trustDomain}/ns/${namespace}/sa/${name}`,
    zone: given?.zone ?? null,
  };
}

/** The name in the nearest package.json, without its scope. */
function packageName(cwd: string): string | null {
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    try {
      const { name } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as { name?: unknown };
      if (typeof name === "string" && name !== "") return segmentOf(name.slice(name.lastIndexOf("/") + 1));
    } catch {
      // None here, or none that can be read: the next one up decides.
    }
    if (directory === dirname(directory)) return null;
  }
}

/** What can be said of a name in a SPIFFE id; `null`: nothing. */
function segmentOf(name: string): string | null {
  let segment = "";
  for (const c of name) {
    const word =
      (c >= "a" && c <= "z") || (c >= "A" && c <= "Z") || (c >= "0" && c <= "9") || c === "_" || c === "." || c === "-";
    segment += word ? c : "-";
  }
  return segment === "" || segment === "." || segment === ".." ? null : segment;
}

const socketRemedy = "set it, or the variable SPIFFE_ENDPOINT_SOCKET";

function resolveIdentity(
  identity: NonNullable<CheckedOptions["identity"]>,
  trustDomain: string,
  context: ResolveContext,
): IdentityConfig {
  const file = (key: string, path: string) => pathOf(context, ["identity", key], path);
  switch (identity.source) {
    case "dev":
      return { source: "dev", lifetimeMs: identity.lifetime ?? (parseDuration(defaultLifetime) as number) };
    case "files": {
      const { cert, key, bundle } = identity;
      const federated = resolveFederated(identity.federation?.bundles, context);
      return {
        source: "files",
        cert: file("cert", cert),
        key: file("key", key),
        bundle: file("bundle", bundle),
        federated,
        federation: resolveFederation(identity.federation?.endpoints, context),
      };
    }
    case "spiffe": {
      const socket = identity.socket ?? context.spiffeSocket ?? "";
      const refusal = socket === "" ? { problem: "is missing", remedy: socketRemedy } : refuseSocket(socket);
      if (refusal !== null)
        context.refuse(["identity", "socket"], socket || undefined, refusal.problem, refusal.remedy);
      return { source: "spiffe", socket, id: identity.id ?? null, hint: identity.hint ?? null };
    }
    case "ca":
      return {
        source: "ca",
        address: identity.address,
        token: file("token", identity.token),
        bundle: file("bundle", identity.bundle),
        serverId: identity.serverId ?? `spiffe://${trustDomain}/ns/selvage/sa/identity`,
        federated: resolveFederated(identity.federation?.bundles, context),
        federation: resolveFederation(identity.federation?.endpoints, context),
      };
  }
}

function resolveFederation(
  endpoints: Readonly<Record<string, BundleEndpointOptions>> | undefined,
  context: ResolveContext,
): FederationEndpointConfig[] {
  return Object.entries(endpoints ?? {}).map(([trustDomain, { url, id, bundle }]) => {
    if (id === undefined || bundle === undefined) return { trustDomain, url, spiffe: null };
    const file = pathOf(context, ["identity", "federation", "endpoints", trustDomain, "bundle"], bundle);
    return { trustDomain, url, spiffe: { id, bundle: file } };
  });
}

function resolveFederated(
  bundles: Readonly<Record<string, string>> | undefined,
  context: ResolveContext,
): Record<string, string> {
  const federated: Record<string, string> = {};
  for (const [trustDomain, path] of Object.entries(bundles ?? {})) {
    federated[trustDomain] = pathOf(context, ["identity", "federation", "bundles", trustDomain], path);
  }
  return federated;
}

function resolveInbound(
  inbound: Filled<NonNullable<CheckedOptions["inbound"]>>,
  options: CheckedOptions["inbound"],
  context: ResolveContext,
): InboundConfig {
  const { host, port, app, appProtocol, maxInFlight, plaintext } = inbound;
  const policy: PolicyConfig = {
    default: inbound.policy.default,
    file:
      options?.policy?.file === undefined ? null : pathOf(context, ["inbound", "policy", "file"], options.policy.file),
    rules: (options?.policy?.rules ?? []) as readonly RuleDocument[],
    rateLimit: (options?.policy?.rateLimit ?? null) as RateLimitDocument | null,
  };
  const probes = { paths: inbound.probes.paths };
  const adaptiveLimit = resolveAdaptiveLimit(options?.adaptiveLimit);
  const advertise = options?.advertise ?? null;
  return { host, port, app, appProtocol, advertise, policy, maxInFlight, adaptiveLimit, probes, plaintext };
}

function resolveAdaptiveLimit(written: object | undefined): InboundConfig["adaptiveLimit"] {
  if (written === undefined) return null;
  const defaults = adaptiveLimitSchema().parse(defaultsOf(adaptiveLimitSchema()));
  const { min, max } = overlay(defaults, written) as Filled<typeof defaults>;
  return { min, max };
}

function resolveOutbound(
  outbound: Filled<NonNullable<CheckedOptions["outbound"]>>,
  options: CheckedOptions["outbound"],
  context: ResolveContext,
): OutboundConfig {
  const absolute = (keys: DocumentPath, path: string) => pathOf(context, keys, path);
  // Without a prototype, since authorities that are looked up come from requests: "constructor" must not be found.
  const services: Record<string, OutboundConfig["services"][string]> = Object.create(null);
  for (const [authority, service] of Object.entries(outbound.services)) {
    services[authority] = resolveService(authority, service, outbound.defaults, absolute);
  }
  const { capacity, failFast } = outbound.queue;
  const caFile = options?.egress?.caFile;
  return {
    port: outbound.port,
    services,
    defaults: resolveSettings(outbound.defaults, {}, (path) =>
      absolute(["outbound", "defaults", "routes", "file"], path),
    ),
    allowFaults: outbound.allowFaults,
    queue: { capacity, failFastMs: failFast },
    maxInFlight: outbound.maxInFlight,
    egress: {
      allow: outbound.egress.allow.map((entry) => parseEgressRule(entry) as EgressRuleConfig),
      caFile: caFile === undefined ? null : pathOf(context, ["outbound", "egress", "caFile"], caFile),
      traceContext: outbound.egress.traceContext,
    },
  };
}
