import type { Service, Sink } from "@selvage/http2";
import type { Endpoint } from "../balancer/endpoint.js";
import type { Dispatcher } from "../balancer/wait-queue.js";
import type { MeshExchange } from "../exchange.js";
import type { Clock } from "../runtime/clock.js";
import { tellTimeLeft } from "./time-left.js";

/** Gives each attempt to an endpoint of its target, and tells meshed ones how much time is left. The last of the outbound layers: what follows belongs to the endpoint. */
export class BalanceService implements Service, Dispatcher {
  readonly name = "balance";
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { balancer } = x.target!;
    const now = this.#clock.now();
    const endpoint = balancer.pickFor(x.headers, x.tried, now);
    if (endpoint === null) {
      x.endpoint = null;
      balancer.wait(x, sink, this);
      return;
    }
    this.#give(x, sink, endpoint, now);
  }

  dispatch(x: MeshExchange, sink: Sink, endpoint: Endpoint): void {
    this.#give(x, sink, endpoint, this.#clock.now());
  }

  #give(x: MeshExchange, sink: Sink, endpoint: Endpoint, now: number): void {
    x.attemptStartedAt = now;
    x.endpoint = endpoint;
    if (x.deadlineAt !== Number.POSITIVE_INFINITY && endpoint.identity !== null) tellTimeLeft(x, now);
    endpoint.service.call(x, sink);
  }
}
