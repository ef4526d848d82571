import type { Server } from "@grpc/grpc-js";
import type { Sink } from "@selvage/http2";
import { GrpcExit } from "@selvage/http2/grpc";
import type { MeshExchange } from "../exchange.js";
import type { ServedExit } from "../mesh/serve-http.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import { proofHeader, proofOf } from "./peer-proof.js";

/** The exit of a port that serves both: gRPC calls go to a grpc-js server, all else goes to the application. */
export class GrpcOrAppExit implements ServedExit {
  readonly #server: Server;
  readonly #app: ServedExit;
  /** Null before the first call, and after `closeGrpc`. */
  #grpc: GrpcExit | null = null;

  constructor(server: Server, app: ServedExit) {
    this.#server = server;
    this.#app = app;
  }

  get active(): number {
    return this.#app.active + (this.#grpc === null ? 0 : this.#grpc.active);
  }

  call(x: MeshExchange, sink: Sink): void {
    if (x.tunnel || !isGrpcRequest(x.method, x.headers)) {
      this.#app.call(x, sink);
      return;
    }
    if (x.peer !== null) x.headers = x.headers.concat(proofHeader, proofOf(x.peer));
    this.#grpc ??= new GrpcExit(this.#server);
    this.#grpc.call(x, sink);
  }

  /** Ends the connections in memory when the calls on them are done. The next call opens new ones. */
  closeGrpc(): void {
    void this.#grpc?.close();
    this.#grpc = null;
  }
}
