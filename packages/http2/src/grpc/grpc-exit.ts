import { type Server, ServerCredentials } from "@grpc/grpc-js";
import { EndpointClient } from "../client/endpoint-client.js";
import type { Exchange, Service, Sink } from "../exchange.js";
import { MemorySocket } from "../node/client/memory-socket.js";

/**
 * The exit of an inbound stack into a grpc-js server of this process. The server need not be bound to a port. It gets calls on
 * HTTP/2 connections in memory, and all of it works: interceptors, every kind of streaming, deadlines, cancellation, limits,
 * `tryShutdown`. `call.getPeer()` knows no address, since calls of many peers share a connection.
 */
export class GrpcExit implements Service {
  readonly #client: EndpointClient;

  constructor(server: Server) {
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#client = new EndpointClient(
      (callback) => {
        const [near, far] = MemorySocket.pair();
        injector.injectConnection(far);
        let cancelled = false;
        process.nextTick(() => {
          if (!cancelled) callback(null, near, Number.POSITIVE_INFINITY);
        });
        return () => {
          cancelled = true;
          near.destroy();
        };
      },
      { protocol: "h2" },
    );
  }

  /** Calls in flight. */
  get active(): number {
    return this.#client.active + this.#client.pending;
  }

  call(x: Exchange, sink: Sink): void {
    this.#client.call(x, sink);
  }

  /** Takes no more calls, and resolves when those in flight have ended. */
  close(): Promise<void> {
    return this.#client.close();
  }

  /** Ends everything now. */
  destroy(): void {
    this.#client.destroy();
  }
}
