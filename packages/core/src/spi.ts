// For those who assemble a mesh of their own, or plug something into one: entries, exits, resolvers, transports.

export { EndpointClient, HttpServer, ServedTunnel, type Service, type Sink, tcpConnect } from "@selvage/http2";
export {
  createJoinToken,
  IdentityError,
  type Inspection,
  initAuthority,
  inspectAddress,
  inspectAuthority,
  inspectMaterial,
  listJoinTokens,
  type RootRotationStep,
  readTrustDomain,
  revokeJoinToken,
  rotateIssuer,
  rotateRoot,
  SpiffeId,
  sweepJoinTokens,
} from "@selvage/tls-identity";
export { Balancer, type BalancerParts, type BalancingConfig, balancingDefaults } from "./balancer/balancer.js";
export {
  Endpoint,
  type EndpointDescription,
  type EndpointFactory,
  type EndpointTransport,
} from "./balancer/endpoint.js";
export { parseHostPort } from "./config/address.js";
export { parseDuration } from "./config/duration.js";
export type { MeshOptions } from "./config/options.js";
export { errorReason, isMeshError, type MeshErrorCode, meshError, meshErrors } from "./errors.js";
export { type Direction, MeshExchange, type Peer } from "./exchange.js";
export {
  type IdentityServiceProcessConfig,
  type IdentityServiceProcessOptions,
  identityServiceProcessDefaults,
  type JwtIssuerOptions,
  loadIdentityServiceConfig,
} from "./identity-service/identity-service-config.js";
export { type IdentityServiceProcess, startIdentityService } from "./identity-service/identity-service-process.js";
export { describe, type Layer, stack } from "./layer.js";
export type { Authorizer } from "./layers/authorize.js";
export type { RateLimiter } from "./layers/rate-limit.js";
export type { TargetLookup } from "./layers/route.js";
export { TraceLayer, type TracerLookup } from "./layers/trace.js";
export type { AttemptPlan, CallQuestion, Explanation, RetryConditions } from "./mesh/explain.js";
export type { BackendExplanation, RouteExplanation } from "./mesh/explain-route.js";
export { type Log, type LogLevel, stderrLog } from "./mesh/log.js";
export { MeshRuntime, type RuntimeOptions, reachable, type ServedPort } from "./mesh/runtime.js";
export {
  compileRetryPolicy,
  type RetryPolicy,
  type RetryPolicyOptions,
  retryDefaults,
  safeMethods,
} from "./resilience/retry-policy.js";
export { ListResolver } from "./resolver/list-resolver.js";
export type { EndpointAddress, Resolver, ResolverListener, ResolverWatch } from "./resolver/resolver.js";
export type { Route } from "./router/route.js";
export { anyMatch } from "./router/route-match.js";
export { type Clock, systemClock } from "./runtime/clock.js";
export { type Random, systemRandom } from "./runtime/random.js";
export { type TimerOwner, TimerWheel, type TimerWheelOptions, WheelTimer } from "./runtime/timer-wheel.js";
export { describeInbound, type InboundParts, inboundLayers, inboundStack } from "./stack/inbound.js";
export {
  describeOutbound,
  endpointLayers,
  endpointStack,
  type OutboundParts,
  outboundLayers,
  outboundStack,
} from "./stack/outbound.js";
export { Target, type TargetConfig, type TargetDescription, type TargetParts } from "./target/target.js";
export { normalAuthority, type TargetSource, TargetTable, type TargetTableOptions } from "./target/target-table.js";
export { type GoldenMetrics, goldenMetrics } from "./telemetry/golden.js";
export { IdleSweep } from "./telemetry/idle-sweep.js";
export { MeshMetrics, metricDefinitions } from "./telemetry/mesh-metrics.js";
export { prometheusContentType, renderPrometheus } from "./telemetry/prometheus.js";
export { type MetricDefinition, Registry, type RegistryOptions } from "./telemetry/registry.js";
