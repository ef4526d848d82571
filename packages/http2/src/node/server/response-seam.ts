import { Buffer } from "node:buffer";
import { ServerResponse } from "node:http";
import type { HeaderList } from "../../exchange.js";
import type { AppStreamHost } from "./app-stream-host.js";
import { type NodeResponse, noCallback, type WriteCallback } from "./node-internals.js";
import { parseLines, parseTrailers, ResponseHead } from "./response-head.js";

/** The stream behind a response, as the seam needs it. */
export interface SeamOwner {
  /** Nothing more can be sent: the exchange was cut off. */
  readonly cut: boolean;
  readonly host: AppStreamHost;
  /** Where to keep how header names were written; `null` when the peer can't use it. */
  readonly headerNames: Map<string, string> | null;
  keepHead(head: ResponseHead): void;
  sendHead(): void;
  sendInformational(status: number, headers: HeaderList): void;
  sendBody(chunk: Uint8Array, callback: WriteCallback | null): boolean;
  sendEnd(trailers: HeaderList | null): void;
  /** Nothing to send, but somebody to tell when all before it is sent. */
  sendNothing(callback: WriteCallback): boolean;
  /** 'finish' was emitted. */
  afterFinish(): void;
}

const ownerKey = Symbol("selvage.responseOwner");
/** What Node's own `end(chunk)` (24, 26) passes for the emission of 'finish'. */
const finishCallback = "bound onFinish";
const nodeFinish = (ServerResponse.prototype as unknown as NodeResponse)._finish;

interface Installed extends NodeResponse {
  [ownerKey]: SeamOwner;
}

/**
 * Diverts what a genuine `ServerResponse` would write to its socket. Own properties, since frameworks exchange the
 * prototype (Express) and wrap methods they find on the object (compression, sessions); shared functions, since a closure per
 * response costs. All else (`setHeader`, `writeHead`, `write`, `end`, their checks, errors and events) stays Node's.
 *
 * `_finish` rather than `end` marks the end: Node calls it last in its own `end`, also when an application has replaced
 * `end` by one that ends later.
 */
export function installSeam(res: NodeResponse, owner: SeamOwner): void {
  (res as Installed)[ownerKey] = owner;
  res._storeHeader = storeHeader;
  res._send = send;
  res._writeRaw = writeRaw;
  res._finish = finish;
  res.on("finish", onFinish);
}

function onFinish(this: NodeResponse): void {
  (this as Installed)[ownerKey].afterFinish();
}

function storeHeader(this: NodeResponse, statusLine: string, headers: unknown): void {
  const owner = (this as Installed)[ownerKey];
  const head = new ResponseHead(this, headers, owner.host.strictValues, owner.headerNames);
  this._header = statusLine;
  owner.keepHead(head);
}

function send(
  this: NodeResponse,
  data: string | Uint8Array,
  encoding?: BufferEncoding | null,
  callback?: WriteCallback | null,
): boolean {
  const owner = (this as Installed)[ownerKey];
  if (owner.cut) return false;
  if (!this._headerSent) {
    this._headerSent = true;
    owner.sendHead();
    if (owner.cut) return false;
  }
  if (data.length !== 0) {
    const told = callback === undefined || callback === noCallback ? null : callback;
    if (typeof data === "string") return owner.sendBody(Buffer.from(data, encoding ?? "utf8"), told);
    // Whoever is told may use the memory again, long before it is written out.
    const chunk = told === null || told.name === finishCallback ? data : Buffer.from(data);
    return owner.sendBody(chunk, told);
  }
  return callback === null || callback === undefined ? true : owner.sendNothing(callback);
}

/** Node writes 1xx heads through here, and nothing else once `_send` is ours. */
function writeRaw(
  this: NodeResponse,
  data: string | Uint8Array,
  encoding?: BufferEncoding | null | WriteCallback,
  callback?: WriteCallback | null,
): boolean {
  const owner = (this as Installed)[ownerKey];
  if (owner.cut) return false;
  const done = typeof encoding === "function" ? encoding : callback;
  if (!this._headerSent && typeof data === "string") sendInformationalText(owner, data);
  if (typeof done === "function") process.nextTick(done, null);
  return true;
}

function finish(this: NodeResponse): void {
  nodeFinish.call(this);
  const owner = (this as Installed)[ownerKey];
  if (!this._headerSent) {
    this._headerSent = true;
    owner.sendHead();
  }
  const trailer = this._trailer;
  owner.sendEnd(trailer === "" || !this._hasBody ? null : parseTrailers(trailer));
}

const informational = /^HTTP\/1\.[01] (1\d\d)[^\r\n]*\r\n/;

/** Passes on a 1xx head that was rendered as HTTP/1 text. Returns whether it was one. 101 is not: it is for tunnels. */
export function sendInformationalText(owner: SeamOwner, text: string): boolean {
  const match = informational.exec(text);
  if (match === null || match[1] === "101") return false;
  owner.sendInformational(Number(match[1]), parseLines(text, match[0].length));
  return true;
}
