import type { Exchange, ExchangeError, Flow, HeaderList, Sink } from "@selvage/http2";
import type { Endpoint } from "./endpoint.js";

/** Who asked for an endpoint and gets it later. */
export interface Dispatcher {
  dispatch(x: Exchange, sink: Sink, endpoint: Endpoint): void;
}

/** An exchange that waits for an endpoint, and is its flow meanwhile. */
export class Waiter implements Flow {
  previous: Waiter | null = null;
  next: Waiter | null = null;
  readonly #x: Exchange;
  readonly #sink: Sink;
  readonly #dispatcher: Dispatcher;
  readonly #queue: WaitQueue;
  #waiting = true;
  #paused = false;

  constructor(x: Exchange, sink: Sink, dispatcher: Dispatcher, queue: WaitQueue) {
    this.#x = x;
    this.#sink = sink;
    this.#dispatcher = dispatcher;
    this.#queue = queue;
    x.flow = this;
  }

  get headers(): HeaderList {
    return this.#x.headers;
  }

  abort(reason: ExchangeError): void {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#queue.remove(this);
    this.#x.body?.cancel();
    this.#sink.onError(reason);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  /** Out of the queue already. */
  dispatch(endpoint: Endpoint): void {
    this.#waiting = false;
    this.#dispatcher.dispatch(this.#x, this.#sink, endpoint);
    if (this.#paused && this.#x.flow !== this) this.#x.flow.pause();
  }

  fail(reason: ExchangeError): void {
    this.#waiting = false;
    this.#x.body?.cancel();
    this.#sink.onError(reason);
  }
}

/** Exchanges in the order in which they came: a list through the waiters themselves, so that one leaves at no cost. */
export class WaitQueue {
  #first: Waiter | null = null;
  #last: Waiter | null = null;
  size = 0;

  push(waiter: Waiter): void {
    waiter.previous = this.#last;
    if (this.#last === null) this.#first = waiter;
    else this.#last.next = waiter;
    this.#last = waiter;
    this.size++;
  }

  shift(): Waiter | null {
    const waiter = this.#first;
    if (waiter !== null) this.remove(waiter);
    return waiter;
  }

  remove(waiter: Waiter): void {
    if (waiter.previous === null) this.#first = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === null) this.#last = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.previous = null;
    waiter.next = null;
    this.size--;
  }

  /** Fails those that wait now; who comes while they are told isn't among them. */
  fail(reason: () => ExchangeError): void {
    for (let count = this.size; count > 0; count--) {
      const waiter = this.shift();
      if (waiter === null) return;
      waiter.fail(reason());
    }
  }
}
