import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { nodeConnectionListener } from "./node-internals.js";

/** Who takes a server's connections from now on. */
export interface TakeOverHooks {
  /** A connection that the server accepted, before anything was read from it. */
  accept(socket: Socket): void;
  /** `server.close()` and `closeIdleConnections()`: connections end when the exchanges on them are over, at once if there are none. */
  closeIdle(): void;
  /** `server.closeAllConnections()`. */
  closeAll(): void;
  /** Exchanges that aren't over, on whichever connection. `server.close()` waits for them. */
  active(): number;
}

const drainPollMs = 10;

interface ServerInternals {
  _emitCloseIfDrained(): void;
}

const taken = new WeakSet<Server>();

/**
 * Makes a genuine `http.Server` give its connections to `hooks` instead of Node's parser. All else stays: `listen`, 'request'
 * and its listeners, `close()`, `address()`, cluster, and what takes a server as an argument (supertest, socket.io, Fastify's
 * `serverFactory`). Connections that are Node's all the same are given back by `handOver`.
 *
 * `keepAliveTimeout` means nothing on these connections. Throws a `TypeError` for a server that isn't a plain `http.Server`
 * (an `https.Server` does its own TLS), and when called twice.
 */
export function takeOver(server: Server, hooks: TakeOverHooks): void {
  if (taken.has(server)) throw new TypeError("takeOver: the server has been taken over before. Do it once.");
  const own = nodeConnectionListener;
  if (own === undefined || !server.listeners("connection").includes(own as never)) {
    throw new TypeError("takeOver: not a server made by http.createServer(). Pass one of these; TLS is the engine's.");
  }
  taken.add(server);
  server.removeListener("connection", own as never);
  server.on("connection", (socket: Socket) => hooks.accept(socket));

  const closeIdleConnections = server.closeIdleConnections;
  server.closeIdleConnections = function (this: Server): void {
    hooks.closeIdle();
    closeIdleConnections.call(this);
  };
  const closeAllConnections = server.closeAllConnections;
  server.closeAllConnections = function (this: Server): void {
    hooks.closeAll();
    closeAllConnections.call(this);
  };
  waitForExchanges(server as Server & ServerInternals, hooks);
}

/** Lets Node's own parser serve a connection of a server that was taken over. */
export function handOver(server: Server, socket: Duplex): void {
  nodeConnectionListener?.call(server, socket);
}

/** Node counts the connections it accepted itself; exchanges can come from elsewhere, and 'close' has to wait for them too. */
function waitForExchanges(server: Server & ServerInternals, hooks: TakeOverHooks): void {
  const emitCloseIfDrained = server._emitCloseIfDrained;
  if (typeof emitCloseIfDrained !== "function") return;
  let timer: NodeJS.Timeout | null = null;
  const check = (): void => {
    timer = null;
    server._emitCloseIfDrained();
  };
  server._emitCloseIfDrained = function (this: Server & ServerInternals): void {
    if (this.listening || hooks.active() === 0) emitCloseIfDrained.call(this);
    else if (timer === null) timer = setTimeout(check, drainPollMs);
  };
}
