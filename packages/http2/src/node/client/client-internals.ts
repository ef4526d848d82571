import { ClientRequest, IncomingMessage } from "node:http";
import type { ClientSocket } from "./client-socket.js";

export type WriteCallback = (error?: Error | null) => void;

/**
 * What the seam uses of `ClientRequest` beyond its documented interface. The same in Node 20, 22, 24 and 26; a probe at
 * start checks it on the Node that runs.
 */
export interface RequestInternals extends Omit<ClientRequest, "socket"> {
  socket: unknown;
  res: ResponseInternals | null;
  finished: boolean;
  destroyed: boolean;
  _closed: boolean;
  _ended: boolean;
  _header: string | null;
  _headerSent: boolean;
  _contentLength: number | null;
  _removedContLen: boolean;
  _trailer: string;
  chunkedEncoding: boolean;
  useChunkedEncodingByDefault: boolean;
  upgradeOrConnect: boolean;
  joinDuplicateHeaders?: boolean;
  timeout?: number;
  timeoutCb: (() => void) | null;
  outputData: { callback?: WriteCallback | null }[];
  outputSize: number;
  _storeHeader(firstLine: string, headers: unknown): void;
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: WriteCallback | null): boolean;
  _finish(): void;
}

/** The same of `IncomingMessage`, as a response. */
export interface ResponseInternals extends Omit<IncomingMessage, "socket"> {
  socket: unknown;
  req: RequestInternals;
  complete: boolean;
  aborted: boolean;
  upgrade: boolean;
  _dumped: boolean;
  joinDuplicateHeaders: boolean;
  _addHeaderLines(lines: string[], count: number): void;
  _dump(): void;
}

export type ResponseClass = new (socket: ClientSocket) => ResponseInternals;

export const ResponseMessage = IncomingMessage as unknown as ResponseClass;

/** Symbols under which Node keeps state of an outgoing message. */
export interface RequestSymbols {
  /** Whether `write` has said false, and 'drain' is owed. */
  readonly needDrain: symbol;
}

/** Makes a ClientRequest that goes nowhere. `onRequest` gets it where an agent would, inside its constructor. */
export function makeSampleRequest(onRequest: (request: RequestInternals) => void): RequestInternals {
  const agent = {
    protocol: "http:",
    defaultPort: 80,
    keepAlive: true,
    maxSockets: Number.POSITIVE_INFINITY,
    addRequest: onRequest,
  };
  const options = { agent, host: "sample.invalid", method: "POST" } as unknown as ConstructorParameters<
    typeof ClientRequest
  >[0];
  return new ClientRequest(options) as unknown as RequestInternals;
}

/** Finds the symbols by their descriptions, or `null` if this Node has none such. */
export function findSymbols(sample: object): RequestSymbols | null {
  const needDrain = Object.getOwnPropertySymbols(sample).find((symbol) => symbol.description === "kNeedDrain");
  return needDrain === undefined ? null : { needDrain };
}

/** The error that `destroy` was called with, which Node keeps for the time when there is a socket. */
export function destroyError(request: object): Error | null {
  const symbol = Object.getOwnPropertySymbols(request).find(({ description }) => description === "kError");
  const error = symbol === undefined ? null : (request as Record<symbol, unknown>)[symbol];
  return error instanceof Error ? error : null;
}
