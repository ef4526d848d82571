import type { Exchange, HeaderList, Service, Sink } from "@selvage/http2";
import type { EndpointFactory, EndpointTransport } from "../balancer/endpoint.js";
import type { RetryConfig } from "../config/config.js";
import { MeshExchange, type Peer } from "../exchange.js";
import type { TargetLookup } from "../layers/route.js";
import { compileRetryPolicy, type RetryPolicyOptions, retryDefaults } from "../resilience/retry-policy.js";
import { ListResolver } from "../resolver/list-resolver.js";
import type { EndpointAddress } from "../resolver/resolver.js";
import type { Route } from "../router/route.js";
import { anyMatch } from "../router/route-match.js";
import type { Random } from "../runtime/random.js";
import { TimerWheel } from "../runtime/timer-wheel.js";
import { endpointStack, outboundStack } from "../stack/outbound.js";
import { Target, type TargetConfig } from "../target/target.js";
import { MeshMetrics } from "../telemetry/mesh-metrics.js";
import { Registry } from "../telemetry/registry.js";
import { ManualClock } from "./manual-clock.js";
import { seededRandom } from "./seeded-random.js";

/** What a test cares about in a request; the rest is a plain `GET http://test.example/`. */
export interface TestRequest {
  method?: string;
  authority?: string;
  path?: string;
  headers?: HeaderList;
  body?: Exchange["body"];
  tunnel?: boolean;
  peer?: Peer | null;
}

export function outboundExchange(request: TestRequest = {}): MeshExchange {
  return fill(new MeshExchange("outbound"), request);
}

export function inboundExchange(request: TestRequest = {}): MeshExchange {
  return fill(new MeshExchange("inbound"), request);
}

function fill(x: MeshExchange, request: TestRequest): MeshExchange {
  x.method = request.method ?? "GET";
  x.authority = request.authority ?? "test.example";
  x.path = request.path ?? "/";
  x.headers = request.headers ?? [];
  x.body = request.body ?? null;
  x.tunnel = request.tunnel ?? false;
  x.peer = request.peer ?? null;
  return x;
}

/** A route for everything. */
export function testRoute(retry: Partial<RetryPolicyOptions> = {}, timeoutMs = 0): Route {
  const options: RetryConfig & RetryPolicyOptions = { ...retryDefaults, ...retry };
  return { name: "test", match: anyMatch, timeoutMs, retry: compileRetryPolicy(options) };
}

export interface TestMeshOptions extends Partial<Omit<TargetConfig, "resolver">> {
  /** `host:port` each, plain; or as discovery gives them. @defaultValue one endpoint, `a:1` */
  readonly endpoints?: readonly (string | EndpointAddress)[];
  readonly random?: Random;
  /** Other authorities that there are, each with one endpoint of its own name. */
  readonly others?: readonly string[];
  /** What a transport enforces. @defaultValue what discovery says */
  readonly enforcedIdentity?: (address: EndpointAddress) => string | null;
}

/** An outbound stack over scripted transports, with time and chance in the test's hands. */
export class TestMesh {
  readonly clock = new ManualClock();
  readonly wheel = new TimerWheel(this.clock);
  readonly registry = new Registry();
  readonly metrics = new MeshMetrics(this.registry);
  readonly resolver: ListResolver;
  readonly target: Target;
  readonly others: readonly Target[];
  readonly service: Service;
  readonly created: string[] = [];
  readonly closed: string[] = [];

  /** `transport` answers for all endpoints; the exchange says which one (`x.endpoint`). */
  constructor(transport: Service, options: TestMeshOptions = {}) {
    const random = options.random ?? seededRandom(1);
    const factory: EndpointFactory = {
      create: (address) => {
        const key = `${address.host}:${address.port}`;
        this.created.push(key);
        return {
          enforcedIdentity:
            options.enforcedIdentity === undefined ? address.identity : options.enforcedIdentity(address),
          call: (x: Exchange, sink: Sink) => transport.call(x, sink),
          close: () => void this.closed.push(key),
        } satisfies EndpointTransport;
      },
    };
    this.resolver = new ListResolver((options.endpoints ?? ["a:1"]).map(endpointAddress));
    const { clock, wheel, metrics } = this;
    this.target = new Target(
      {
        authority: "test.example",
        identity: null,
        routes: [],
        fallback: testRoute(),
        ...options,
        resolver: this.resolver,
      },
      { clock, wheel, random, factory, metrics, wrap: endpointStack(clock) },
    );
    this.others = (options.others ?? []).map((authority) => {
      const resolver = new ListResolver([endpointAddress(`${authority}:1`)]);
      const parts = { clock, wheel, random, factory, metrics, wrap: endpointStack(clock) };
      return new Target({ authority, identity: null, routes: [], fallback: null, resolver }, parts);
    });
    const targets: TargetLookup = {
      find: (authority) => [this.target, ...this.others].find((target) => target.authority === authority) ?? null,
      explainUnknown: () => "known are test.example",
    };
    this.service = outboundStack({ clock, wheel, random, metrics, targets, faults: true, trace: null });
  }
}

export function endpointAddress(address: string | EndpointAddress): EndpointAddress {
  if (typeof address !== "string") return address;
  const [host = "", port = "1"] = address.split(":");
  return { host, port: Number(port), identity: null };
}
