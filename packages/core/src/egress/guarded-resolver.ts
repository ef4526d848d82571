import type { EndpointAddress, Resolver, ResolverListener, ResolverWatch } from "../resolver/resolver.js";
import { refuseAddress } from "./address-guard.js";

/** The attribute of an endpoint that may not be connected to, and why. */
export const refusedAttribute = "refused";

/**
 * Leaves out addresses that a name outside the mesh must not lead to. When that leaves none, there is one endpoint whose
 * calls fail with the reason: at once, rather than after a wait for better addresses.
 */
export class GuardedResolver implements Resolver {
  readonly #inner: Resolver;
  readonly #name: string;
  readonly #anyName: boolean;
  readonly #onRefused: (reason: string) => void;

  constructor(inner: Resolver, name: string, anyName: boolean, onRefused: (reason: string) => void) {
    this.#inner = inner;
    this.#name = name;
    this.#anyName = anyName;
    this.#onRefused = onRefused;
  }

  watch(listener: ResolverListener): ResolverWatch {
    return this.#inner.watch({
      onUpdate: (endpoints) => listener.onUpdate(this.#judged(endpoints)),
      onFailure: (error) => listener.onFailure(error),
    });
  }

  #judged(endpoints: readonly EndpointAddress[]): readonly EndpointAddress[] {
    const allowed: EndpointAddress[] = [];
    let refused: EndpointAddress | null = null;
    for (const endpoint of endpoints) {
      const reason = refuseAddress(endpoint.host, this.#anyName);
      if (reason === null) {
        allowed.push(endpoint);
        continue;
      }
      const text = `${this.#name} resolves to ${endpoint.host}, ${reason}`;
      this.#onRefused(text);
      refused ??= { ...endpoint, attributes: { ...endpoint.attributes, [refusedAttribute]: text } };
    }
    return allowed.length === 0 && refused !== null ? [refused] : allowed;
  }
}
