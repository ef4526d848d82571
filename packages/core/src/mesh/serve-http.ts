import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Service } from "@selvage/http2";
import { takeOver } from "@selvage/http2/node";
import { type MeshRuntime, reachable } from "./runtime.js";

/** The exit of a port, which knows what it is working on. */
export interface ServedExit extends Service {
  readonly active: number;
}

/**
 * Makes the port of an `http.Server` a port of the mesh with this exit: announced when it listens, withdrawn when it closes, and closed when the
 * mesh drains.
 */
export function serveHttp(runtime: MeshRuntime, server: Server, exit: ServedExit): Server {
  const port = runtime.port(exit, () => {
    if (server.listening) server.close();
  });
  takeOver(server, {
    accept: (socket) => port.server.accept(socket),
    // By itself it ends connections; as a part of `close()`, when the server has stopped listening, it ends the port.
    closeIdle: () =>
      server.listening ? port.server.forEachConnection((connection) => connection.drain()) : port.server.drain(),
    closeAll: () => port.server.forEachConnection((connection) => connection.destroy()),
    active: () => exit.active,
  });
  server.on("listening", () => {
    const address = server.address();
    if (address !== null && typeof address === "object") port.announce(reachable(address satisfies AddressInfo));
  });
  server.on("close", () => port.withdraw());
  return server;
}
