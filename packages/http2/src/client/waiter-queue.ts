import { type Exchange, type Flow, noFlow, type Service, type Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";

/** An exchange that waits for a connection or a free stream. Holds it: aborting takes it out of its queue. */
export class Waiter implements Flow {
  queue: WaiterQueue | null = null;
  previous: Waiter | null = null;
  next: Waiter | null = null;
  readonly #x: Exchange;
  readonly #sink: Sink;
  #paused = false;

  constructor(x: Exchange, sink: Sink) {
    this.#x = x;
    this.#sink = sink;
    x.flow = this;
  }

  abort(reason: ExchangeError): void {
    if (this.queue === null) return;
    this.queue.remove(this);
    this.fail(reason);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
  }

  /** Hands the exchange to a connection. The waiter must have left its queue. */
  proceed(service: Service): void {
    const x = this.#x;
    x.flow = noFlow;
    service.call(x, this.#sink);
    if (this.#paused) x.flow.pause();
  }

  /** The waiter must have left its queue. */
  fail(error: ExchangeError): void {
    this.#x.flow = noFlow;
    this.#sink.onError(error);
  }
}

/** Waiters, first in first out, as an intrusive doubly linked list. */
export class WaiterQueue {
  size = 0;
  #first: Waiter | null = null;
  #last: Waiter | null = null;

  push(waiter: Waiter): void {
    waiter.queue = this;
    waiter.previous = this.#last;
    if (this.#last === null) this.#first = waiter;
    else this.#last.next = waiter;
    this.#last = waiter;
    this.size++;
  }

  shift(): Waiter | null {
    const first = this.#first;
    if (first !== null) this.remove(first);
    return first;
  }

  remove(waiter: Waiter): void {
    if (waiter.queue !== this) return;
    if (waiter.previous === null) this.#first = waiter.next;
    else waiter.previous.next = waiter.next;
    if (waiter.next === null) this.#last = waiter.previous;
    else waiter.next.previous = waiter.previous;
    waiter.queue = null;
    waiter.previous = null;
    waiter.next = null;
    this.size--;
  }

  /** Fails those that wait now, in order. Nothing may be pushed meanwhile. */
  failAll(error: ExchangeError): void {
    for (let waiter = this.shift(); waiter !== null; waiter = this.shift()) waiter.fail(error);
  }
}
