import type { Service } from "@selvage/http2";
import type { Endpoint, EndpointTransport } from "../balancer/endpoint.js";
import { describe, type Layer, stack } from "../layer.js";
import { BalanceService } from "../layers/balance.js";
import { DeadlineLayer } from "../layers/deadline.js";
import { FaultLayer } from "../layers/fault.js";
import { FilterLayer } from "../layers/filter.js";
import { MeasureLayer } from "../layers/measure.js";
import { RequireIdentityLayer } from "../layers/require-identity.js";
import { RescueLayer } from "../layers/rescue.js";
import { RetryLayer } from "../layers/retry.js";
import { RouteLayer, type TargetLookup } from "../layers/route.js";
import { ShedLayer } from "../layers/shed.js";
import { TraceLayer } from "../layers/trace.js";
import { TrackLayer } from "../layers/track.js";
import { WithholdTraceLayer } from "../layers/withhold-trace.js";
import type { Clock } from "../runtime/clock.js";
import type { ProcessHold } from "../runtime/process-hold.js";
import type { Random } from "../runtime/random.js";
import type { TimerWheel } from "../runtime/timer-wheel.js";
import type { MeshMetrics } from "../telemetry/mesh-metrics.js";

export interface OutboundParts {
  readonly clock: Clock;
  readonly wheel: TimerWheel;
  readonly random: Random;
  readonly metrics: MeshMetrics;
  readonly targets: TargetLookup;
  /** Exchanges in flight, beyond which more are refused. @defaultValue 100000 (as Linkerd) */
  readonly maxInFlight?: number;
  /** Routes may inject faults. @defaultValue false: their `fault` has no effect */
  readonly faults?: boolean;
  /** Held while there is anything in flight. */
  readonly hold?: ProcessHold;
  /** Instead of the one that looks for OpenTelemetry's global tracer; `null` for none. */
  readonly trace?: TraceLayer | null;
}

/** The layers that every outbound exchange meets, outermost first. What follows is `balance`. */
export function outboundLayers(parts: OutboundParts): readonly Layer[] {
  const trace = parts.trace === undefined ? new TraceLayer() : parts.trace;
  return [
    // Outermost, so that everything below reports failures as errors, and only the application sees responses made of them.
    new RescueLayer(),
    // Above whatever may fail or repeat: one request of the application is one observation.
    new MeasureLayer({
      direction: "outbound",
      clock: parts.clock,
      metrics: parts.metrics,
      serverAddress: "",
      ...(parts.hold && { hold: parts.hold }),
    }),
    // Above route, so that what has no route is traced too; above retry, so that attempts are within one span.
    ...(trace === null ? [] : [trace]),
    // Above all that asks for the target and its rules.
    new RouteLayer(parts.targets, parts.random),
    // Below route, so that what is shed counts for its authority; above all that keeps something for an exchange.
    new ShedLayer(parts.maxInFlight ?? 100_000),
    // Below shed, so that nothing is copied of what is not sent; above retry, so that it is done once.
    new FilterLayer({ targets: parts.targets, clock: parts.clock, random: parts.random }),
    // Above retry, so that attempts and the waits between them are within the one deadline.
    new DeadlineLayer(parts.wheel),
    // Below deadline, which covers its delays; above retry, so that what it does reaches the application as often as the route says.
    ...(parts.faults === true ? [new FaultLayer(parts)] : []),
    // Above balance, so that each attempt gets an endpoint of its own.
    new RetryLayer({ clock: parts.clock, wheel: parts.wheel, random: parts.random }),
  ];
}

/** The layers of one endpoint, outermost first. What follows is its transport. */
export function endpointLayers(endpoint: Endpoint, transport: EndpointTransport, clock: Clock): readonly Layer[] {
  return [
    // Above requireIdentity, so that an endpoint that can't be what it has to be gets no load.
    new TrackLayer(endpoint, clock),
    // Before anything can be sent.
    new RequireIdentityLayer(endpoint.identity, transport),
    // Below trace and retry, since only the endpoint says that it is outside the mesh.
    ...(transport.withholdsTrace === true ? [new WithholdTraceLayer()] : []),
  ];
}

/** The way from an entry to an endpoint. */
export function outboundStack(parts: OutboundParts): Service {
  return stack(outboundLayers(parts), new BalanceService(parts.clock));
}

/** For `BalancerParts.wrap`: puts an endpoint's layers around its transport. */
export function endpointStack(clock: Clock): (endpoint: Endpoint, transport: EndpointTransport) => Service {
  return (endpoint, transport) => stack(endpointLayers(endpoint, transport, clock), transport);
}

/** The stack as people read it. */
export function describeOutbound(outer: readonly Layer[], inner: readonly Layer[]): string {
  return `${describe(outer)} → balance → [per endpoint: ${describe(inner)} → transport]`;
}
