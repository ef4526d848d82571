import type { Service } from "@selvage/http2";
import { describe, type Layer, stack } from "../layer.js";
import { AuthorizeLayer, type Authorizer } from "../layers/authorize.js";
import { LimitLayer } from "../layers/limit.js";
import { MeasureLayer } from "../layers/measure.js";
import { ProbesLayer } from "../layers/probes.js";
import { type RateLimiter, RateLimitLayer } from "../layers/rate-limit.js";
import { RescueLayer } from "../layers/rescue.js";
import { SanitizeLayer } from "../layers/sanitize.js";
import { ShedLayer } from "../layers/shed.js";
import { TraceLayer } from "../layers/trace.js";
import type { AdaptiveLimit } from "../resilience/adaptive-limit.js";
import type { Clock } from "../runtime/clock.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";

export interface InboundParts {
  readonly clock: Clock;
  readonly metrics: MeshMetrics;
  /** What this workload is called in metrics. */
  readonly serverAddress: string;
  readonly authorizer: Authorizer;
  /** `null`: no limits. */
  readonly limiter: RateLimiter | null;
  readonly maxInFlight: number;
  /** `null`: `maxInFlight` is the only limit. */
  readonly adaptiveLimit: AdaptiveLimit | null;
  /** Exact paths of the platform's health checks. */
  readonly probePaths: readonly string[];
  /** Instead of the one that looks for OpenTelemetry's global tracer; `null` for none. */
  readonly trace?: TraceLayer | null;
}

/** The layers that every inbound exchange meets, outermost first. What follows is the exit. Health checks go to it at once from `probes`. */
export function inboundLayers(parts: InboundParts, exit: Service): readonly Layer[] {
  const { adaptiveLimit, clock, metrics, serverAddress } = parts;
  const trace = parts.trace === undefined ? new TraceLayer() : parts.trace;
  return [
    // Outermost, so that everything below reports failures as errors, and only the peer sees responses made of them.
    new RescueLayer(),
    // Above whatever may refuse, so that refusals count.
    new MeasureLayer({ direction: "inbound", clock, metrics, serverAddress }),
    // Above all that reads headers: nothing below sees what a peer forged.
    new SanitizeLayer(),
    // Above authorize, so that refusals are in traces.
    ...(trace === null ? [] : [trace]),
    // Above rateLimit, so that those who may not call can't use up the quota of those who may.
    new AuthorizeLayer(parts.authorizer, metrics),
    // Below authorize, so that probes are a matter of policy; above what refuses by load.
    new ProbesLayer(parts.probePaths, exit, clock),
    // Above shed, so that one peer's excess is refused as its own, not as everybody's overload.
    ...(parts.limiter === null ? [] : [new RateLimitLayer(parts.limiter)]),
    // Below all that refuses for other reasons: counts what the application really has.
    new ShedLayer(parts.maxInFlight),
    // The last before the application: measures only what it really works on.
    ...(adaptiveLimit === null ? [] : [new LimitLayer(adaptiveLimit, clock)]),
  ];
}

/** The way from the mesh port to the exit. */
export function inboundStack(parts: InboundParts, exit: Service): Service {
  return stack(inboundLayers(parts, exit), exit);
}

/** The stack as people read it. */
export function describeInbound(layers: readonly Layer[]): string {
  return `${describe(layers)} → exit`;
}
