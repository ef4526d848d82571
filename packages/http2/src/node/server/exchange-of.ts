import type { IncomingMessage } from "node:http";
import type { Exchange } from "../../exchange.js";

const exchangeKey = Symbol("selvage.exchange");

interface Marked {
  [exchangeKey]?: Exchange;
}

/** Ties a request, or the socket that carries only this one, to its exchange. */
export function markExchange(target: object, x: Exchange): void {
  (target as Marked)[exchangeKey] = x;
}

/** The exchange behind a request that an `AppExit` has made; `undefined` for others. */
export function exchangeOf(req: IncomingMessage): Exchange | undefined {
  const own = (req as Marked)[exchangeKey];
  if (own !== undefined) return own;
  return (req.socket as Marked | null | undefined)?.[exchangeKey];
}
