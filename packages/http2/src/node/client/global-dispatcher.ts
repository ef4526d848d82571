/** Anything that undici and fetch can send through. */
export interface DispatcherLike {
  dispatch(options: object, handler: object): boolean;
}

/** undici 6, and the fetch of Node 20 and 22, read the first; undici 7.29 and later, and newer Nodes, the second. */
const symbols = [Symbol.for("undici.globalDispatcher.1"), Symbol.for("undici.globalDispatcher.2")] as const;

/**
 * Makes a dispatcher the one that `fetch`, `WebSocket` and every undici in the process use by default. The dispatcher has
 * to take handlers of both dialects, as those of this package do.
 *
 * @returns a function that puts back what was there before. It does nothing where somebody has set another one since.
 */
export function installGlobalDispatcher(dispatcher: DispatcherLike): () => void {
  const globals = globalThis as unknown as Record<symbol, unknown>;
  // The properties can't be deleted again, so that what is left when there was none is `undefined`: fetch then makes its own.
  const before = symbols.map((symbol) => globals[symbol]);
  for (const symbol of symbols) define(symbol, dispatcher);
  return () => {
    symbols.forEach((symbol, i) => {
      if (globals[symbol] === dispatcher) define(symbol, before[i]);
    });
  };
}

function define(symbol: symbol, value: unknown): void {
  Object.defineProperty(globalThis, symbol, { value, writable: true, enumerable: false, configurable: false });
}
