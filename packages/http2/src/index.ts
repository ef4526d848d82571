// Exports by name, types apart. For end users first, for those who build on the engine after.

export {
  type BackoffConfig,
  type BackoffOptions,
  backoffDefaults,
  backoffMs,
  resolveBackoff,
} from "./client/backoff.js";
export {
  type Connect,
  type TcpConnectOptions,
  type TlsConnectOptions,
  tcpConnect,
  tlsConnect,
} from "./client/connect.js";
export { EndpointClient } from "./client/endpoint-client.js";
export {
  type EndpointClientOptions,
  type EndpointListener,
  type EndpointState,
  endpointClientDefaults,
} from "./client/endpoint-client-options.js";
export { connectError, nodeErrorCode } from "./client/node-error.js";
export { type Clock, systemClock } from "./clock.js";
export type {
  Body,
  BodySink,
  Connection,
  Flow,
  HeaderCase,
  HeaderList,
  HttpVersion,
  Service,
  Sink,
} from "./exchange.js";
export { Exchange, noFlow, noHeaders } from "./exchange.js";
export {
  type ErrorOrigin,
  type ErrorRow,
  ExchangeError,
  isExchangeError,
  type Progress,
  type TransportErrorCode,
  transportError,
  transportErrors,
} from "./exchange-error.js";
export { ClientConnection, type ClientConnectionListener } from "./h1/client-connection.js";
export { type Http1Config, type Http1Limits, type Http1Options, http1Defaults, resolveHttp1 } from "./h1/limits.js";
export { ServerConnection, type ServerConnectionListener } from "./h1/server-connection.js";
export { ClientSession, type ClientSessionListener } from "./h2/client-session.js";
export {
  type Http2Config,
  type Http2Options,
  http2Defaults,
  type Protection,
  resolveHttp2,
} from "./h2/limits.js";
export { ServerSession, type ServerSessionListener } from "./h2/server-session.js";
export type { Ticker } from "./h2/shared-ticker.js";
export { HttpServer } from "./server/http-server.js";
export { type HttpServerOptions, httpServerDefaults } from "./server/http-server-options.js";
export { ServedTunnel } from "./server/served-tunnel.js";
