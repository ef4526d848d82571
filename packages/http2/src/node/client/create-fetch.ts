import type { DispatcherLike } from "./global-dispatcher.js";

/**
 * Makes a `fetch` that sends through a dispatcher: Node's own, with everything that it does and throws. Errors of the
 * transport are the `cause` of the `TypeError` that fetch throws.
 */
export function createFetch(dispatcher: DispatcherLike): typeof globalThis.fetch {
  // Taken now, so that the result may become globalThis.fetch.
  const inner = globalThis.fetch;
  return (input, init) => inner(input, { ...init, dispatcher } as RequestInit);
}
