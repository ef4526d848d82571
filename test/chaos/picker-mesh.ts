import type { Resolver, Service, Sink } from "@selvage/core/spi";
import {
  anyMatch,
  balancingDefaults,
  compileRetryPolicy,
  type Endpoint,
  type EndpointFactory,
  endpointStack,
  ListResolver,
  MeshExchange,
  MeshMetrics,
  outboundLayers,
  Registry,
  retryDefaults,
  stack,
  systemClock,
  systemRandom,
  Target,
  TimerWheel,
} from "@selvage/core/spi";
import { EndpointClient, tcpConnect } from "@selvage/http2";
import type { IdentitySource } from "@selvage/tls-identity";
import { BalanceService } from "../../packages/core/src/layers/balance.js";
import { EndpointTransports } from "../../packages/core/src/transport/endpoint-transports.js";
import type { Outcome } from "./load.js";

/** Chooses an endpoint for each attempt, in place of ours. */
export type Picker = (endpoints: readonly Endpoint[]) => Endpoint;

export function roundRobin(): Picker {
  let next = 0;
  return (endpoints) => endpoints[next++ % endpoints.length]!;
}

/** The one with the fewest requests in flight, the first of equals after the one that was chosen last. */
export function leastLoaded(): Picker {
  let start = 0;
  return (endpoints) => {
    let best = endpoints[start++ % endpoints.length]!;
    for (let i = 0; i < endpoints.length; i++) {
      const other = endpoints[(start + i) % endpoints.length]!;
      if (other.inFlight < best.inFlight) best = other;
    }
    return best;
  };
}

export interface PickerMeshOptions {
  /** Where endpoints are: on these ports of loopback, or where a resolver says. */
  readonly ports?: readonly number[];
  readonly resolver?: Resolver;
  /** Who calls, over mutual TLS, and who the endpoints have to be. @defaultValue plain HTTP/1.1 */
  readonly mutualTls?: { readonly identity: IdentitySource; readonly peer: string };
  readonly timeoutMs: number;
  /** `null`: ours. */
  readonly picker: Picker | null;
  /** Whether endpoints that fail are ejected. */
  readonly ejects: boolean;
}

/** The outbound stack as it is, with any picker in the place of the balancer's. */
export class PickerMesh {
  readonly #service: Service;
  readonly #target: Target;
  readonly #closers: (() => unknown)[] = [];

  constructor({ ports = [], resolver, mutualTls, timeoutMs, picker, ejects }: PickerMeshOptions) {
    const clock = systemClock;
    const wheel = new TimerWheel(clock);
    const random = systemRandom;
    const metrics = new MeshMetrics(new Registry());
    this.#target = new Target(
      {
        authority: "app.test",
        identity: null,
        resolver:
          resolver ??
          new ListResolver(ports.map((port) => ({ host: "127.0.0.1", port, identity: mutualTls?.peer ?? null }))),
        routes: [],
        fallback: {
          name: "all",
          match: anyMatch,
          timeoutMs,
          retry: compileRetryPolicy({ ...retryDefaults, limit: 0 }),
        },
        balancing: {
          ...balancingDefaults,
          accrual: { ...balancingDefaults.accrual, ...(ejects ? {} : { consecutiveFailures: 0 }) },
        },
      },
      {
        clock,
        wheel,
        random,
        metrics,
        wrap: endpointStack(clock),
        factory: mutualTls === undefined ? this.#plain() : this.#meshed(mutualTls.identity),
      },
    );
    const targets = { find: () => this.#target, explainUnknown: () => "" };
    const layers = outboundLayers({ clock, wheel, random, metrics, targets, trace: null });
    this.#service = stack(layers, picker === null ? new BalanceService(clock) : new PickService(picker));
  }

  get(path: string): Promise<Outcome> {
    return new Promise((resolve) => {
      const x = new MeshExchange("outbound");
      x.authority = "app.test";
      x.path = path;
      x.headers = ["host", "app.test"];
      this.#service.call(x, new StatusSink(resolve));
    });
  }

  /** Requests by endpoint, in the order of the ports. */
  get attempts(): number[] {
    return [...this.#target.balancer.endpoints].map(({ attempts }) => attempts);
  }

  get addresses(): string[] {
    return [...this.#target.balancer.endpoints].map(({ key }) => key);
  }

  close(): void {
    this.#target.close();
    for (const close of this.#closers) close();
  }

  #plain(): EndpointFactory {
    return {
      create: ({ host, port }) => {
        const client = new EndpointClient(tcpConnect({ host, port, timeoutMs: 1_000 }), { protocol: "h1" });
        this.#closers.push(() => client.destroy());
        return {
          enforcedIdentity: null,
          call: (x, sink) => client.call(x, sink),
          close: () => void client.close(),
        };
      },
    };
  }

  #meshed(identity: IdentitySource): EndpointFactory {
    const transports = new EndpointTransports({ identity, onProtection() {}, onRefusedPeer() {} });
    this.#closers.push(() => transports.destroy());
    return transports.factory(1_000);
  }
}

class PickService implements Service {
  readonly #picker: Picker;

  constructor(picker: Picker) {
    this.#picker = picker;
  }

  call(x: MeshExchange, sink: Sink): void {
    const endpoint = this.#picker([...x.target!.balancer.endpoints]);
    x.attemptStartedAt = systemClock.now();
    x.endpoint = endpoint;
    endpoint.service.call(x, sink);
  }
}

class StatusSink implements Sink {
  #outcome: Outcome = 0;
  readonly #resolve: (outcome: Outcome) => void;

  constructor(resolve: (outcome: Outcome) => void) {
    this.#resolve = resolve;
  }

  onInformational(): void {}

  onHead(status: number, headers: readonly string[]): void {
    const why = headers.indexOf("l5d-proxy-error");
    this.#outcome = why === -1 ? status : `${status} ${headers[why + 1]}`;
  }

  onData(): void {}

  onEnd(): void {
    this.#resolve(this.#outcome);
  }

  onError(error: { readonly code: string }): void {
    this.#resolve(error.code);
  }
}
