import type { InboundConfig } from "./inbound-config.js";

/** What is spoken without TLS: HTTP/1.1, or HTTP/2 by prior knowledge. Meshed endpoints always get HTTP/2. */
export type EndpointProtocol = "h1" | "h2";

/** A host (name, IPv4, or IPv6 without brackets) and a port. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/**
 * The configuration of a mesh, complete and deep-frozen: every default is filled in, every duration is a number of
 * milliseconds (fields that end in `Ms`; 0 means "none" unless the field says otherwise), every path is absolute. It is
 * the same for the library, the shim and the gateway. Made by `loadConfig`, never by hand.
 */
export interface MeshConfig {
  readonly workload: WorkloadConfig;
  /** Where local state (development CA, registry) is kept; `undefined`: whoever needs it picks the place. */
  readonly stateDir: string | undefined;
  readonly identity: IdentityConfig;
  readonly inbound: InboundConfig;
  readonly outbound: OutboundConfig;
  /** `null`: no admin server. */
  readonly admin: AdminConfig | null;
  readonly telemetry: TelemetryConfig;
  readonly drain: DrainConfig;
  /** `NODE_ENV` is `production`. */
  readonly production: boolean;
  /** The `selvage.yaml` that was read, absolute; `null`: none. */
  readonly file: string | null;
  /** Path of a field to where it was set: a file, a `SELVAGE_*` variable, or `options`. Defaults are not listed. */
  readonly origins: Readonly<Record<string, string>>;
  /** What is allowed but probably not meant, to be logged once at start. */
  readonly warnings: readonly string[];
}

export interface WorkloadConfig {
  readonly name: string;
  readonly namespace: string;
  readonly trustDomain: string;
  /** `spiffe://<trustDomain>/ns/<namespace>/sa/<name>`: the identity that the dev and ca sources ask for. */
  readonly id: string;
  /** The failure domain it is in; `null`: not known. */
  readonly zone: string | null;
}

export interface DevIdentityConfig {
  readonly source: "dev";
  readonly lifetimeMs: number;
}

export interface FilesIdentityConfig {
  readonly source: "files";
  readonly cert: string;
  readonly key: string;
  readonly bundle: string;
  /** Other trust domains, each with the file of its trust bundle. */
  readonly federated: Readonly<Record<string, string>>;
  readonly federation: readonly FederationEndpointConfig[];
}

/** Another trust domain, and where its bundle is fetched from. */
export interface FederationEndpointConfig {
  readonly trustDomain: string;
  readonly url: string;
  /** Of `https_spiffe`: who the endpoint has to be, and the file of the bundle to begin with. `null`: `https_web`. */
  readonly spiffe: { readonly id: string; readonly bundle: string } | null;
}

export interface SpiffeIdentityConfig {
  readonly source: "spiffe";
  /** `unix:///path` or `tcp://ip:port`, as the SPIFFE Workload Endpoint specification writes it. */
  readonly socket: string;
  /** The SVID to take; `null`: the first one. */
  readonly id: string | null;
  /** The hint of the SVID to take; `null`: any. */
  readonly hint: string | null;
}

export interface CaIdentityConfig {
  readonly source: "ca";
  /** `https://host:port` */
  readonly address: string;
  /** The file that holds the token. It is read each time it is needed, since it may rotate. */
  readonly token: string;
  readonly bundle: string;
  /** The identity that the authority has to prove. */
  readonly serverId: string;
  /** Other trust domains, each with the file of its trust bundle. */
  readonly federated: Readonly<Record<string, string>>;
  readonly federation: readonly FederationEndpointConfig[];
}

export type IdentityConfig = DevIdentityConfig | FilesIdentityConfig | SpiffeIdentityConfig | CaIdentityConfig;

export interface OutboundConfig {
  /** The shim's listener on loopback. 0: a free port. */
  readonly port: number;
  /** Keyed by authority, lower case. */
  readonly services: Readonly<Record<string, ServiceConfig>>;
  /** For authorities that `services` does not name. */
  readonly defaults: ServiceSettings;
  /** Whether routes may inject faults in production. */
  readonly allowFaults: boolean;
  readonly queue: QueueConfig;
  readonly maxInFlight: number;
  readonly egress: EgressConfig;
}

/** Calls to names outside the mesh. */
export interface EgressConfig {
  /** What may be called; none: nothing. */
  readonly allow: readonly EgressRuleConfig[];
  /** Roots beside the system's, PEM; `null`: none. */
  readonly caFile: string | null;
  /** Whether trace context (`traceparent`, `baggage` …) is sent there. */
  readonly traceContext: boolean;
}

/** An entry of `outbound.egress.allow`. */
export interface EgressRuleConfig {
  /** As it was written. */
  readonly text: string;
  readonly scheme: "http" | "https";
  /** `exact`: this host; `suffix`: names that end with a dot and this; `any`: names with a dot. */
  readonly kind: "exact" | "suffix" | "any";
  /** A name, or an address without brackets; empty for `any`. */
  readonly host: string;
  readonly port: number;
}

export interface QueueConfig {
  /** Requests that may wait for an endpoint, per authority. */
  readonly capacity: number;
  /** How long there may be no available endpoint before whatever waits fails at once. */
  readonly failFastMs: number;
}

/** What can be said once for all authorities, and again for one. */
export interface ServiceSettings {
  /** For plain endpoints that do not say it themselves. */
  readonly protocol: EndpointProtocol;
  /** The whole exchange, attempts and backoff included. 0: none. */
  readonly timeoutMs: number;
  /** Without a byte of the exchange in either direction. 0: none. */
  readonly idleTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly retry: RetryConfig;
  /** In the order they were written. The most specific match wins (Gateway API), the first of equals. */
  readonly routes: readonly RouteConfig[];
  /** The file that `routes` were read from, absolute; `null`: they stand in the configuration itself. */
  readonly routesFile: string | null;
  readonly retryBudget: RetryBudgetConfig;
  readonly balancer: BalancerConfig;
  readonly failureAccrual: FailureAccrualConfig;
}

export interface ServiceConfig extends ServiceSettings {
  readonly authority: string;
  /** `null`: found as for an authority that is not configured. */
  readonly endpoints: EndpointsConfig | null;
  /** The identity every endpoint has to prove, unless the endpoint names its own. `null`: nothing is said here. */
  readonly identity: string | null;
}

export type EndpointsConfig =
  | { readonly kind: "list"; readonly list: readonly EndpointConfig[] }
  /** A port of 0: the name is that of SRV records. */
  | { readonly kind: "dns"; readonly address: HostPort }
  | { readonly kind: "file"; readonly file: string }
  | { readonly kind: "local" };

export interface EndpointConfig {
  readonly host: string;
  readonly port: number;
  /** `null`: plain. The service's identity is filled in already. */
  readonly identity: string | null;
  readonly zone: string | null;
  /** Share of requests relative to the others. 0: none. */
  readonly weight: number;
  readonly protocol: EndpointProtocol;
  readonly labels: Readonly<Record<string, string>>;
}

export interface RetryConfig {
  /** Attempts after the first. 0: no retries. */
  readonly limit: number;
  /** Time for one attempt, also the first. 0: none. Always below the timeout when both are set. */
  readonly perTryTimeoutMs: number;
  readonly statuses: readonly number[];
  /** Methods that may be retried after the peer may have acted. What was provably unsent may be retried whatever the method. */
  readonly methods: readonly string[];
  /** gRPC statuses that are retried. Naming one is consent to repeat gRPC requests that failed that way. */
  readonly grpcStatuses: readonly number[];
  /** A request body beyond this is passed on and not kept: it can't be sent twice. */
  readonly maxReplayBytes: number;
  readonly backoff: BackoffConfig;
  /** `null`: no attempt is made beside another one. */
  readonly hedge: HedgeConfig | null;
}

/** Another attempt while one has not answered yet. */
export interface HedgeConfig {
  /** How long an attempt may go without the head of its response before another is made beside it. */
  readonly delayMs: number;
  /** Of one call. 0: none. */
  readonly limit: number;
}

export interface BackoffConfig {
  readonly minMs: number;
  readonly maxMs: number;
  /** The wait is `base + U(0, base × jitter)`, at most `maxMs`. */
  readonly jitter: number;
}

export interface RouteConfig {
  /** As written, or the method and path that it matches. */
  readonly name: string;
  /** One of them has to match. */
  readonly matches: readonly RouteMatchConfig[];
  readonly timeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly retry: RetryConfig;
  /** `null`: none. */
  readonly filters: RouteFiltersConfig | null;
  /** Empty: the authority itself. */
  readonly backends: readonly BackendConfig[];
  /** The caller may set timeout and retries by headers. */
  readonly overrides: boolean;
  /** `null`: none. */
  readonly fault: FaultConfig | null;
}

/** What is done to requests on purpose, for tests. Each has its own chance. */
export interface FaultConfig {
  readonly delay: { readonly durationMs: number; readonly ratio: number } | null;
  /** `status` answers HTTP requests, `grpcStatus` gRPC requests. */
  readonly abort: { readonly status: number; readonly grpcStatus: number; readonly ratio: number } | null;
}

export interface RouteMatchConfig {
  /** Against the path as `normalizePath` of @selvage/policy gives it. */
  readonly path: PathMatchConfig;
  /** `null`: any. */
  readonly method: string | null;
  /** All must match; a repeated header matches when one of its values does. Names are lower case. */
  readonly headers: readonly NamedMatchConfig[];
  /** All must match; of a repeated parameter the first counts. @defaultValue none */
  readonly query?: readonly NamedMatchConfig[];
  /** gRPC requests only. @defaultValue false */
  readonly grpc?: boolean;
}

/**
 * `exact`: the path is `value`. `prefix`: the path is `value` or starts with `value + "/"` (whole segments); the
 * prefix that matches everything has the value `""`. `regex`: the expression matches the whole path.
 */
export interface PathMatchConfig {
  readonly kind: "exact" | "prefix" | "regex";
  readonly value: string;
}

/** A header or query parameter. `present`: whatever its value, and `value` is empty. */
export interface NamedMatchConfig {
  readonly name: string;
  readonly kind: "exact" | "regex" | "present";
  readonly value: string;
}

/** What happens to a request and its response. `null`: nothing. */
export interface RouteFiltersConfig {
  readonly requestHeaders: HeaderFilterConfig | null;
  readonly responseHeaders: HeaderFilterConfig | null;
  readonly redirect: RedirectConfig | null;
  readonly rewrite: RewriteConfig | null;
  readonly mirror: MirrorConfig | null;
}

/** No header is in more than one of them. */
export interface HeaderFilterConfig {
  readonly set: readonly HeaderConfig[];
  readonly add: readonly HeaderConfig[];
  readonly remove: readonly string[];
}

export interface HeaderConfig {
  /** Lower case. */
  readonly name: string;
  readonly value: string;
}

/** `full`: the path becomes `value`. `prefix`: `value` (empty, or without a slash at its end) takes the place of the matched prefix. */
export interface PathModifierConfig {
  readonly kind: "full" | "prefix";
  readonly value: string;
}

/** `null`: as in the request. */
export interface RedirectConfig {
  readonly scheme: "http" | "https" | null;
  readonly hostname: string | null;
  readonly port: number | null;
  readonly path: PathModifierConfig | null;
  readonly status: number;
}

/** `null`: as in the request. */
export interface RewriteConfig {
  readonly hostname: string | null;
  readonly path: PathModifierConfig | null;
}

export interface MirrorConfig {
  readonly service: string;
  /** Share of requests that are copied. */
  readonly ratio: number;
}

export interface BackendConfig {
  /** An authority. */
  readonly service: string;
  readonly weight: number;
}

export interface RetryBudgetConfig {
  /** Retries per original request. */
  readonly ratio: number;
  readonly minPerSecond: number;
  readonly ttlMs: number;
}

export interface BalancerConfig {
  /** What an endpoint is taken to need before it was measured. */
  readonly defaultRttMs: number;
  readonly decayMs: number;
  /** Whether endpoints of the workload's own zone come first, while their load allows. */
  readonly zones: "prefer" | "ignore";
  /** When more than this share of the endpoints is ejected, all are used. 1: never. */
  readonly panicRatio: number;
  /** `null`: chosen by load alone. */
  readonly hash: HashConfig | null;
}

/** Requests with the same key go to the same endpoint, while it is there and not overloaded. */
export interface HashConfig {
  /** Where the key is: in a header, or in a cookie that the application set. */
  readonly by: "header" | "cookie";
  /** Of the header (lower case) or the cookie. */
  readonly name: string;
  /** Exchanges in flight relative to the average endpoint of that weight, beyond which the next endpoint is taken. */
  readonly maxLoad: number;
}

export interface FailureAccrualConfig {
  /** Failures in a row that eject an endpoint. 0: never. */
  readonly consecutiveFailures: number;
  readonly minPenaltyMs: number;
  readonly maxPenaltyMs: number;
  readonly jitter: number;
  /** `null`: endpoints are not ejected by their success rate. */
  readonly successRate: SuccessRateConfig | null;
}

export interface SuccessRateConfig {
  /** Ejected below this share of successes. */
  readonly threshold: number;
  readonly windowMs: number;
  readonly minRequests: number;
}

export interface AdminConfig {
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
}

export interface TelemetryConfig {
  /** Spans are made and trace context is passed on. Without an OpenTelemetry SDK in the process they cost next to nothing. */
  readonly traces: boolean;
}

export interface DrainConfig {
  /** How long requests in flight get before their connections are cut. */
  readonly timeoutMs: number;
  /** How long new requests are still taken after readiness failed, so that others can notice. */
  readonly delayMs: number;
}
