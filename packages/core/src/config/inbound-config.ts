import type { PolicyDefault, RateLimitDocument, RuleDocument } from "@selvage/policy";
import type { EndpointProtocol, HostPort } from "./config.js";

/** Traffic to a workload. */
export interface InboundConfig {
  readonly host: string;
  /** 0: a free port. */
  readonly port: number;
  /** Where the shim finds its app; the library does not use it. */
  readonly app: HostPort;
  /** What the shim speaks to it. */
  readonly appProtocol: EndpointProtocol;
  /** What others are told to connect to; `null`: the address that was bound. */
  readonly advertise: HostPort | null;
  readonly policy: PolicyConfig;
  readonly maxInFlight: number;
  /** `null`: `maxInFlight` is the only limit. */
  readonly adaptiveLimit: AdaptiveLimitConfig | null;
  readonly probes: ProbesConfig;
  /** Whether connections without TLS are served (policy decides then, with no peer) or closed. */
  readonly plaintext: "allow" | "refuse";
}

export interface PolicyConfig {
  readonly default: PolicyDefault;
  /** A policy document; then `rules` and `rateLimit` come from it. `loadPolicy` reads it. */
  readonly file: string | null;
  readonly rules: readonly RuleDocument[];
  readonly rateLimit: RateLimitDocument | null;
}

/** Of the limit of requests that wait for the head of their response, which follows from their latency. */
export interface AdaptiveLimitConfig {
  readonly min: number;
  readonly max: number;
}

export interface ProbesConfig {
  /** Exact paths that GET and HEAD reach without an identity, whatever policy says, past rate limits and load shedding. */
  readonly paths: readonly string[];
}
