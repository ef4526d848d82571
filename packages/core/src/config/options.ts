import type { PolicyDefault, RateLimitDocument, RuleDocument } from "@selvage/policy";
import type { EndpointProtocol } from "./config.js";

/**
 * Milliseconds as a number, or text as in GEP-2257 (`"300ms"`, `"1m30s"`) with fractions allowed (`"1.5s"`).
 */
export type Duration = number | string;

/**
 * The configuration as people write it, in `selvage.yaml` or as an object: everything is optional, and
 * docs/configuration.md lists every field. Unknown fields are errors. `loadConfig` makes a `MeshConfig` of it.
 */
export interface MeshOptions {
  workload?: WorkloadOptions | undefined;
  /** Where local state (development CA, registry) is kept. */
  stateDir?: string | undefined;
  /** @defaultValue `{ source: "dev" }` */
  identity?: IdentityOptions | undefined;
  inbound?: InboundOptions | undefined;
  outbound?: OutboundOptions | undefined;
  /** `false`: no admin server. */
  admin?: AdminOptions | false | undefined;
  telemetry?: TelemetryOptions | undefined;
  drain?: DrainOptions | undefined;
}

export interface WorkloadOptions {
  /** @defaultValue the name in the nearest package.json, or that of the directory */
  name?: string | undefined;
  /** @defaultValue `"default"` */
  namespace?: string | undefined;
  /** @defaultValue `"dev.selvage"` */
  trustDomain?: string | undefined;
  /** The failure domain it is in. */
  zone?: string | undefined;
}

export interface FederationOptions {
  /** Trust domain to the file of its trust bundle. */
  bundles?: Record<string, string> | undefined;
  /** Trust domain to the endpoint that its trust bundle is fetched from. */
  endpoints?: Record<string, BundleEndpointOptions> | undefined;
}

export interface BundleEndpointOptions {
  /** `https://…` */
  url: string;
  /** The SPIFFE id that the endpoint proves; needs `bundle`. @defaultValue none: it proves its host, as the public web does */
  id?: string | undefined;
  /** File of the bundle to begin with. */
  bundle?: string | undefined;
}

export interface DevIdentityOptions {
  source?: "dev" | undefined;
  /** @defaultValue `"24h"` */
  lifetime?: Duration | undefined;
}

export interface FilesIdentityOptions {
  source: "files";
  /** PEM file: the SVID, then its intermediates. */
  cert: string;
  /** PEM file: the private key. */
  key: string;
  /** PEM file: the trust bundle. */
  bundle: string;
  federation?: FederationOptions | undefined;
}

export interface SpiffeIdentityOptions {
  source: "spiffe";
  /** @defaultValue the variable `SPIFFE_ENDPOINT_SOCKET` */
  socket?: string | undefined;
  /** Which SVID to take, where the agent offers several. @defaultValue the first one */
  id?: string | undefined;
  /** The same by the agent's hint. With `id`, both have to be right. @defaultValue any */
  hint?: string | undefined;
}

export interface CaIdentityOptions {
  source: "ca";
  /** `host:port` or `https://host:port`. */
  address: string;
  /** The file that holds the token. */
  token: string;
  /** PEM file: the roots that vouch for the authority. */
  bundle: string;
  /** The SPIFFE id that the authority has to prove. @defaultValue `spiffe://<trustDomain>/ns/selvage/sa/identity` */
  serverId?: string | undefined;
  federation?: FederationOptions | undefined;
}

export type IdentityOptions = DevIdentityOptions | FilesIdentityOptions | SpiffeIdentityOptions | CaIdentityOptions;

export interface InboundOptions {
  /** @defaultValue `"0.0.0.0"` */
  host?: string | undefined;
  /** @defaultValue 4143 */
  port?: number | undefined;
  /** Where the shim finds its app. @defaultValue `"127.0.0.1:8080"` */
  app?: string | undefined;
  /** What the shim speaks to its app. @defaultValue `"h1"` */
  appProtocol?: EndpointProtocol | undefined;
  /** `host:port` that others are told to connect to. */
  advertise?: string | undefined;
  policy?: PolicyOptions | undefined;
  /** @defaultValue 100000 */
  maxInFlight?: number | undefined;
  /** Absent: off. */
  adaptiveLimit?: AdaptiveLimitOptions | undefined;
  probes?: { paths?: string[] | undefined } | undefined;
  /** @defaultValue `"allow"` */
  plaintext?: "allow" | "refuse" | undefined;
}

export interface AdaptiveLimitOptions {
  /** @defaultValue 20 */
  min?: number | undefined;
  /** @defaultValue 1000 */
  max?: number | undefined;
}

export interface PolicyOptions {
  /** @defaultValue `"all-authenticated"` */
  default?: PolicyDefault | undefined;
  /** A policy document. Excludes `rules` and `rateLimit`. */
  file?: string | undefined;
  rules?: RuleDocument[] | undefined;
  rateLimit?: RateLimitDocument | undefined;
}

export interface OutboundOptions {
  /** @defaultValue 4140 */
  port?: number | undefined;
  services?: Record<string, ServiceOptions> | undefined;
  defaults?: ServiceSettingsOptions | undefined;
  /** Whether routes may inject faults where NODE_ENV is production. @defaultValue false */
  allowFaults?: boolean | undefined;
  queue?: QueueOptions | undefined;
  /** @defaultValue 100000 */
  maxInFlight?: number | undefined;
  /** Calls to names outside the mesh. */
  egress?: EgressOptions | undefined;
}

export interface EgressOptions {
  /** `[scheme://]host[:port]` each; the host may be `*.example.com`, or `*` for every public name. @defaultValue nothing */
  allow?: string[] | undefined;
  /** PEM file of roots beside the system's. */
  caFile?: string | undefined;
  /** @defaultValue false */
  traceContext?: boolean | undefined;
}

export interface QueueOptions {
  /** @defaultValue 10000 */
  capacity?: number | undefined;
  /** @defaultValue `"3s"` */
  failFast?: Duration | undefined;
}

export interface ServiceSettingsOptions {
  /** @defaultValue `"h1"` */
  protocol?: EndpointProtocol | undefined;
  /** @defaultValue 0 (none) */
  timeout?: Duration | undefined;
  /** Without a byte of the exchange in either direction. @defaultValue 0 (none) */
  idleTimeout?: Duration | undefined;
  /** @defaultValue `"1s"` */
  connectTimeout?: Duration | undefined;
  retry?: RetryOptions | undefined;
  /** A list, or the file that holds it. */
  routes?: RouteOptions[] | { file: string } | undefined;
  retryBudget?: RetryBudgetOptions | undefined;
  balancer?: BalancerOptions | undefined;
  failureAccrual?: FailureAccrualOptions | undefined;
}

export interface ServiceOptions extends ServiceSettingsOptions {
  endpoints?: EndpointsOptions | undefined;
  /** The SPIFFE id that its endpoints have to prove; `null`: plain. */
  identity?: string | null | undefined;
}

export type EndpointsOptions = (string | EndpointOptions)[] | { dns: string } | { file: string } | { local: true };

export interface EndpointOptions {
  /** `host:port` */
  address: string;
  identity?: string | null | undefined;
  zone?: string | undefined;
  /** @defaultValue 1 */
  weight?: number | undefined;
  protocol?: EndpointProtocol | undefined;
  labels?: Record<string, string> | undefined;
}

export interface RetryOptions {
  /** @defaultValue 1 */
  limit?: number | undefined;
  /** @defaultValue 0 (none) */
  perTryTimeout?: Duration | undefined;
  /** @defaultValue `[502, 503, 504]` */
  statuses?: number[] | undefined;
  /** @defaultValue `["GET", "HEAD", "OPTIONS", "TRACE"]` */
  methods?: string[] | undefined;
  /** @defaultValue none */
  grpcStatuses?: number[] | undefined;
  /** @defaultValue 65536 */
  maxReplayBytes?: number | undefined;
  backoff?: BackoffOptions | undefined;
  /** Absent: no attempt is made beside another one. */
  hedge?: HedgeOptions | undefined;
}

export interface HedgeOptions {
  /** @defaultValue `"100ms"` */
  delay?: Duration | undefined;
  /** @defaultValue 1 */
  limit?: number | undefined;
}

export interface BackoffOptions {
  /** @defaultValue `"25ms"` */
  min?: Duration | undefined;
  /** @defaultValue `"250ms"` */
  max?: Duration | undefined;
  /** @defaultValue 1 */
  jitter?: number | undefined;
}

export interface RouteOptions {
  name?: string | undefined;
  /** Several: one of them has to match. */
  match?: RouteMatchOptions | RouteMatchOptions[] | undefined;
  filters?: RouteFiltersOptions | undefined;
  /** @defaultValue the authority itself */
  backends?: BackendOptions[] | undefined;
  /** The caller may set timeout and retries by headers. @defaultValue false */
  overrides?: boolean | undefined;
  timeout?: Duration | undefined;
  idleTimeout?: Duration | undefined;
  retry?: RetryOptions | undefined;
  /** Absent: none. */
  fault?: FaultOptions | undefined;
}

/** What is done to requests on purpose, for tests. */
export interface FaultOptions {
  delay?: { duration: Duration; ratio?: number | undefined } | undefined;
  abort?: FaultAbortOptions | undefined;
}

export interface FaultAbortOptions {
  /** For HTTP requests. @defaultValue 503 */
  status?: number | undefined;
  /** For gRPC requests. @defaultValue 14 (UNAVAILABLE) */
  grpcStatus?: number | undefined;
  /** Share of the requests. @defaultValue 1 */
  ratio?: number | undefined;
}

export interface RouteMatchOptions {
  /** Exact (`/a/b`), a prefix of whole segments (`/a/*`), or a regular expression. @defaultValue `"/*"` */
  path?: string | { regex: string } | undefined;
  method?: string | undefined;
  headers?: Record<string, ValueMatchOptions> | undefined;
  query?: Record<string, ValueMatchOptions> | undefined;
  /** Excludes `path` and `method`. */
  grpc?: { service?: string | undefined; method?: string | undefined } | undefined;
}

/** Text is exact. */
export type ValueMatchOptions = string | { regex: string } | { present: true };

export interface RouteFiltersOptions {
  requestHeaders?: HeaderFilterOptions | undefined;
  responseHeaders?: HeaderFilterOptions | undefined;
  redirect?: RedirectOptions | undefined;
  rewrite?: RewriteOptions | undefined;
  mirror?: MirrorOptions | undefined;
}

export interface HeaderFilterOptions {
  set?: Record<string, string> | undefined;
  add?: Record<string, string> | undefined;
  remove?: string[] | undefined;
}

export interface RedirectOptions {
  scheme?: "http" | "https" | undefined;
  hostname?: string | undefined;
  port?: number | undefined;
  path?: string | undefined;
  /** Excludes `path`. */
  prefix?: string | undefined;
  /** @defaultValue 302 */
  status?: 301 | 302 | 303 | 307 | 308 | undefined;
}

export interface RewriteOptions {
  hostname?: string | undefined;
  path?: string | undefined;
  /** Excludes `path`. */
  prefix?: string | undefined;
}

export interface MirrorOptions {
  service: string;
  /** @defaultValue 1 */
  ratio?: number | undefined;
}

export interface BackendOptions {
  service: string;
  /** @defaultValue 1 */
  weight?: number | undefined;
}

export interface RetryBudgetOptions {
  /** @defaultValue 0.2 */
  ratio?: number | undefined;
  /** @defaultValue 10 */
  minPerSecond?: number | undefined;
  /** @defaultValue `"10s"` */
  ttl?: Duration | undefined;
}

export interface BalancerOptions {
  /** @defaultValue `"30ms"` */
  defaultRtt?: Duration | undefined;
  /** @defaultValue `"10s"` */
  decay?: Duration | undefined;
  /** @defaultValue `"prefer"` */
  zones?: "prefer" | "ignore" | undefined;
  /** @defaultValue 0.7 */
  panicRatio?: number | undefined;
  /** Absent: endpoints are chosen by load alone. `false`: so they are, whatever `outbound.defaults` says. */
  hash?: HashOptions | false | undefined;
}

/** One of `header` and `cookie`. */
export interface HashOptions {
  header?: string | undefined;
  cookie?: string | undefined;
  /** @defaultValue 1.5 */
  maxLoad?: number | undefined;
}

export interface FailureAccrualOptions {
  /** @defaultValue 7 */
  consecutiveFailures?: number | undefined;
  /** @defaultValue `"1s"` */
  minPenalty?: Duration | undefined;
  /** @defaultValue `"60s"` */
  maxPenalty?: Duration | undefined;
  /** @defaultValue 0.5 */
  jitter?: number | undefined;
  /** Absent: off. */
  successRate?: SuccessRateOptions | undefined;
}

export interface SuccessRateOptions {
  /** @defaultValue 0.8 */
  threshold?: number | undefined;
  /** @defaultValue `"10s"` */
  window?: Duration | undefined;
  /** @defaultValue 5 */
  minRequests?: number | undefined;
}

export interface AdminOptions {
  /** @defaultValue `"127.0.0.1"` */
  host?: string | undefined;
  /** @defaultValue 4191 */
  port?: number | undefined;
}

export interface TelemetryOptions {
  /** @defaultValue true */
  traces?: boolean | undefined;
}

export interface DrainOptions {
  /** @defaultValue `"30s"` */
  timeout?: Duration | undefined;
  /** @defaultValue 0 */
  delay?: Duration | undefined;
}
