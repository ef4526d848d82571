import type { Connection } from "../../exchange.js";

/** Something that stands in for the socket of a connection without giving access to it. */
export interface StandIn {
  readonly peerConnection: Connection | null;
}

type Facts = Record<string, unknown>;
type FactMethod = (this: StandIn, ...args: unknown[]) => unknown;

const socketValues = ["remoteFamily", "localFamily", "bytesRead", "bytesWritten"];
const tlsValues = ["authorized", "authorizationError", "alpnProtocol", "servername"];
const tlsMethods = [
  "exportKeyingMaterial",
  "getCertificate",
  "getCipher",
  "getEphemeralKeyInfo",
  "getFinished",
  "getPeerCertificate",
  "getPeerFinished",
  "getPeerX509Certificate",
  "getProtocol",
  "getSession",
  "getSharedSigalgs",
  "getTLSTicket",
  "getX509Certificate",
  "isSessionReused",
];

/**
 * Gives a stand-in's prototype what applications ask of `req.socket`: addresses, and for TLS connections what was
 * established (`encrypted`, `authorized`, `getPeerCertificate()`, …), which on other connections is `undefined` as on a
 * `net.Socket`. Nothing that changes, ends or exposes the connection.
 */
export function mirrorConnection(prototype: StandIn): void {
  define(prototype, "remoteAddress", (connection) => connection.remoteAddress);
  define(prototype, "remotePort", (connection) => connection.remotePort);
  define(prototype, "localAddress", (connection) => connection.localAddress);
  define(prototype, "localPort", (connection) => connection.localPort);
  define(prototype, "encrypted", (connection) => (connection.encrypted ? true : undefined));
  for (const name of socketValues) define(prototype, name, (connection) => factsOf(connection)[name]);
  for (const name of tlsValues) {
    define(prototype, name, (connection) => (connection.encrypted ? factsOf(connection)[name] : undefined));
  }
  for (const name of tlsMethods) {
    const method: FactMethod = function (...args) {
      const connection = this.peerConnection;
      const ask = connection === null ? undefined : factsOf(connection)[name];
      return typeof ask === "function" ? ask.apply((connection as Connection).socket, args) : undefined;
    };
    define(prototype, name, (connection) => (connection.encrypted ? method : undefined));
  }
}

function define(prototype: StandIn, name: string, read: (connection: Connection) => unknown): void {
  Object.defineProperty(prototype, name, {
    configurable: true,
    get(this: StandIn): unknown {
      const connection = this.peerConnection;
      return connection === null ? undefined : read(connection);
    },
  });
}

function factsOf(connection: Connection): Facts {
  return connection.socket as unknown as Facts;
}
