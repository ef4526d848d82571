import type { EndpointAddress, Resolver, ResolverListener, ResolverWatch } from "./resolver.js";

/** Endpoints from a fixed list, that can be replaced as a whole (`set`) when configuration is read again. */
export class ListResolver implements Resolver {
  #endpoints: readonly EndpointAddress[];
  readonly #listeners = new Set<ResolverListener>();

  constructor(endpoints: readonly EndpointAddress[]) {
    this.#endpoints = endpoints;
  }

  watch(listener: ResolverListener): ResolverWatch {
    this.#listeners.add(listener);
    listener.onUpdate(this.#endpoints);
    return { close: () => void this.#listeners.delete(listener) };
  }

  set(endpoints: readonly EndpointAddress[]): void {
    this.#endpoints = endpoints;
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) listener.onUpdate(endpoints);
    }
  }
}
