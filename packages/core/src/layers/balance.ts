import type { Service, Sink } from "@selvage/http2";
import type { Endpoint } from "../balancer/endpoint.js";
import type { Dispatcher } from "../balancer/wait-queue.js";
import type { MeshExchange } from "../exchange.js";
import type { Clock } from "../runtime/clock.js";

/** Gives each attempt to an endpoint of its target. The last of the outbound layers: what follows belongs to the endpoint. */
export class BalanceService implements Service, Dispatcher {
  readonly name = "balance";
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { balancer } = x.target!;
    const now = this.#clock.now();
    const endpoint = balancer.pickFor(x.headers, x.excluded, now);
    if (endpoint === null) {
      x.endpoint = null;
      balancer.wait(x, sink, this);
      return;
    }
    x.attemptStartedAt = now;
    x.endpoint = endpoint;
    endpoint.service.call(x, sink);
  }

  dispatch(x: MeshExchange, sink: Sink, endpoint: Endpoint): void {
    x.attemptStartedAt = this.#clock.now();
    x.endpoint = endpoint;
    endpoint.service.call(x, sink);
  }
}
