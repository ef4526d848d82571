import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { Server as GrpcServer } from "@grpc/grpc-js";
import { AppExit } from "@selvage/http2/node";
import { type Mesh, runtimeOf } from "../mesh/mesh.js";
import { RequestContextExit } from "../mesh/request-context.js";
import { serveHttp } from "../mesh/serve-http.js";
import { GrpcOrAppExit } from "./grpc-or-app-exit.js";

/**
 * A port of the mesh for a grpc-js server, as `mesh.createServer` makes one for HTTP: mutual TLS, inbound policy before the
 * handlers (a method's path is `/package.Service/Method`), announced when it listens, drained by `mesh.close()`. The grpc-js server is
 * used as it is, and need not be bound to a port; it stays the caller's to shut down.
 *
 * `listener` serves what is not gRPC on the same port (health checks, REST); without one such requests get 415.
 */
export function serveGrpc(mesh: Mesh, server: GrpcServer, listener: RequestListener = refuse): Server {
  const http = createServer(listener);
  const exit = new GrpcOrAppExit(server, new RequestContextExit(new AppExit(http)));
  serveHttp(runtimeOf(mesh), http, exit);
  http.on("close", () => exit.closeGrpc());
  return http;
}

function refuse(_req: IncomingMessage, res: ServerResponse): void {
  res.writeHead(415, { "content-type": "text/plain; charset=utf-8" });
  res.end("this port serves gRPC\n");
}
