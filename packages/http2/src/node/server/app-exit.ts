import type { Server } from "node:http";
import type { Exchange, Service, Sink } from "../../exchange.js";
import { type AppExitOptions, resolveAppExit } from "./app-exit-options.js";
import { ObjectExit } from "./object-exit.js";
import { PairExit } from "./pair-exit.js";
import { seamReport } from "./probe.js";

/**
 * The exit of an inbound stack into a Node application: shows each exchange to the listeners of an `http.Server` as a genuine
 * `http.IncomingMessage` and `http.ServerResponse`, as 'request', 'checkContinue', 'checkExpectation', 'upgrade' or
 * 'connect'. The server need not listen, and should have been given to `takeOver` if it does.
 *
 * As with `node:http`: events and their order, errors, back pressure, `server.timeout`, `requestTimeout` (408; for HTTP/2 only until the
 * response has begun),
 * `maxHeadersCount`, `maxHeaderSize` (431), `maxRequestsPerSocket` (drains the connection), `requireHostHeader`,
 * `joinDuplicateHeaders`, classes given to `createServer`, diagnostics channels.
 *
 * Otherwise: `req.socket` belongs to the exchange, not to the connection, and is no `net.Socket`; `httpVersion` is `1.1` for
 * HTTP/2 requests; `Connection: close` in a response becomes a drain of the connection; hop-by-hop headers go no further;
 * body beyond `content-length` is cut off, and less of it is an error; 'clientError' is never emitted; `keepAliveTimeout` and
 * `headersTimeout` are the engine's affair. A buffer given to `write()` or `end()` without a callback must not be changed
 * afterwards.
 */
export class AppExit implements Service {
  readonly #objects: ObjectExit | null;
  readonly #pair: PairExit;

  constructor(server: Server, options?: AppExitOptions) {
    const config = resolveAppExit(options);
    const objects = config.seam === "objects" || (config.seam === "auto" && seamReport().ok);
    this.#objects = objects ? new ObjectExit(server, config.clock) : null;
    this.#pair = new PairExit(server, config.clock);
  }

  /** Requests whose response hasn't ended, and open tunnels. */
  get active(): number {
    return this.#pair.active + (this.#objects === null ? 0 : this.#objects.active);
  }

  call(x: Exchange, sink: Sink): void {
    if (this.#objects === null || x.tunnel) this.#pair.call(x, sink);
    else this.#objects.call(x, sink);
  }
}
