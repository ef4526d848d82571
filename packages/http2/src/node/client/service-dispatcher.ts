import { Dispatcher } from "undici";
import type { Service } from "../../exchange.js";
import { DispatchEntry, type DispatchOptions } from "./dispatch-entry.js";
import type { DispatchHandler } from "./dispatch-handler.js";

/** Options of {@link ServiceDispatcher}. */
export type ServiceDispatcherOptions = DispatchOptions;

/**
 * An undici Dispatcher whose requests go to a service. It works as the `dispatcher` of undici 6, 7 and 8 and of every
 * Node's own `fetch` and `WebSocket`, and under undici 7's interceptors. What decides about connections (pipelining,
 * `reset`, `blocking`) doesn't apply. It emits no connection events.
 */
export class ServiceDispatcher extends Dispatcher {
  readonly #entry: DispatchEntry;
  #destroyed = false;

  constructor(service: Service, options: ServiceDispatcherOptions = {}) {
    super();
    this.#entry = new DispatchEntry(service, options);
  }

  get closed(): boolean {
    return this.#entry.closed;
  }

  get destroyed(): boolean {
    return this.#destroyed;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#entry.dispatch(options, handler as unknown as DispatchHandler);
  }

  /** Takes no more requests, and waits for those in flight. */
  override close(): Promise<void>;
  override close(callback: () => void): void;
  override close(callback?: () => void): Promise<void> | undefined {
    if (callback === undefined) return new Promise((resolve) => this.close(resolve));
    this.#entry.close(callback);
    return undefined;
  }

  /** Takes no more requests, and aborts those in flight with the reason. */
  override destroy(): Promise<void>;
  override destroy(error: Error | null): Promise<void>;
  override destroy(callback: () => void): void;
  override destroy(error: Error | null, callback: () => void): void;
  override destroy(error?: Error | null | (() => void), callback?: () => void): Promise<void> | undefined {
    if (typeof error === "function") {
      callback = error;
      error = null;
    }
    this.#destroyed = true;
    this.#entry.destroy(error ?? null);
    if (callback === undefined) return Promise.resolve();
    queueMicrotask(callback);
    return undefined;
  }
}
