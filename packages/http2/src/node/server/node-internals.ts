import type { EventEmitter } from "node:events";
import { createServer, type IncomingMessage, type Server, ServerResponse } from "node:http";

/**
 * What the seam uses of Node's HTTP objects beyond their documented interface. The same in Node 20, 22, 24 and 26;
 * `seamReport()` checks it on the Node that runs.
 */
export interface NodeRequest extends IncomingMessage {
  _dumped: boolean;
  _consuming: boolean;
  _eventsCount: number;
  _readableState: {
    resumeScheduled: boolean;
    ended: boolean;
    endEmitted: boolean;
    destroyed: boolean;
    closed: boolean;
    closeEmitted: boolean;
  };
  upgrade: boolean;
  joinDuplicateHeaders: boolean;
  client: unknown;
  _addHeaderLines(lines: string[], count: number): void;
  _dump(): void;
}

export type WriteCallback = (error?: Error | null) => void;

/** A header value as applications pass it. */
export type OutValue = unknown;

export interface NodeResponse extends Omit<ServerResponse, "socket" | "finished" | "req"> {
  socket: unknown;
  req: NodeRequest;
  finished: boolean;
  destroyed: boolean;
  _closed: boolean;
  _header: string | null;
  _headerSent: boolean;
  _hasBody: boolean;
  _contentLength: number | null;
  _removedContLen: boolean;
  _removedTE: boolean;
  _trailer: string;
  _sent100: boolean;
  _expect_continue: boolean;
  useChunkedEncodingByDefault: boolean;
  shouldKeepAlive: boolean;
  sendDate: boolean;
  _storeHeader(statusLine: string, headers: unknown): void;
  _send(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: WriteCallback | null): boolean;
  _writeRaw(data: string | Uint8Array, encoding?: BufferEncoding | null, callback?: WriteCallback | null): boolean;
  _finish(): void;
  _isLenientHeaderValidation?(): boolean;
}

export type RequestClass = new (socket: unknown) => NodeRequest;
export type ResponseClass = new (req: NodeRequest, options: ResponseOptions) => NodeResponse;

export interface ResponseOptions {
  highWaterMark: number;
  rejectNonStandardBodyWrites: boolean;
}

const sampleServer = createServer();
const sampleResponse = makeSample();

/** Where a response keeps what `setHeader` was given: `{ lowerName: [name, value] }`. */
export const outHeadersKey = symbolOf(sampleResponse, "kOutHeaders");
/** Whether `write()` has returned false since the last 'drain'. */
export const needDrainKey = symbolOf(sampleResponse, "kNeedDrain");
/** Where a server keeps the classes and the option that `createServer` was given. */
export const requestClassKey = symbolOf(sampleServer, "IncomingMessage");
export const responseClassKey = symbolOf(sampleServer, "ServerResponse");
export const uniqueHeadersKey = symbolOf(sampleServer, "kUniqueHeaders");

/** Node's own 'connection' listener: one function for all servers, which it finds in `this`. */
export const nodeConnectionListener = sampleServer.listeners("connection")[0] as
  | ((this: Server, socket: EventEmitter) => void)
  | undefined;

/** What Node passes on for a `write()` without a callback. */
export const noCallback: WriteCallback | null = learnNoCallback();

/** A response without a socket, to look at. */
function makeSample(): NodeResponse {
  const req = { method: "GET", httpVersionMajor: 1, httpVersionMinor: 1, headers: {} };
  return new ServerResponse(req as unknown as IncomingMessage) as unknown as NodeResponse;
}

/** Symbols of Node's internal modules can only be found by their description. Its absence shows in `seamReport()`. */
function symbolOf(target: object, description: string): symbol {
  for (const key of Object.getOwnPropertySymbols(target)) if (key.description === description) return key;
  return Symbol(`missing ${description}`);
}

function learnNoCallback(): WriteCallback | null {
  let learned: WriteCallback | null = null;
  const res = makeSample();
  res._storeHeader = () => {
    res._header = "-";
  };
  res._send = (_data, _encoding, callback) => {
    learned = callback ?? null;
    return true;
  };
  try {
    res.write("-");
  } catch {
    return null;
  }
  return learned;
}
