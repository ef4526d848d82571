import type { RequestInternals, WriteCallback } from "./client-internals.js";

/** What the methods that are put on a request call. */
export interface SeamMethods {
  /** Node renders the head. */
  storeHeader(firstLine: string, headers: unknown): void;
  /** Node writes a part of the body, or nothing in order to have the head sent. Whether more may be written now. */
  send(data: string | Uint8Array, encoding: BufferEncoding | null, callback: WriteCallback | null): boolean;
  /** `end` was called. */
  ended(): void;
  /** The application has read the response to its end. */
  responseEnded(): void;
}

const seamKey = Symbol("selvage.requestSeam");

interface SeamedRequest extends RequestInternals {
  [seamKey]: SeamMethods;
}

/** Puts the methods on the request itself: a library that changes its prototype doesn't take them away. */
export function installSeam(req: RequestInternals, seam: SeamMethods): void {
  const seamed = req as SeamedRequest;
  seamed[seamKey] = seam;
  seamed._storeHeader = storeHeader;
  seamed._send = send;
  seamed.end = end as RequestInternals["end"];
}

export function seamOf(req: RequestInternals): SeamMethods {
  return (req as SeamedRequest)[seamKey];
}

function storeHeader(this: RequestInternals, firstLine: string, headers: unknown): void {
  (this as SeamedRequest)[seamKey].storeHeader(firstLine, headers);
}

function send(
  this: RequestInternals,
  data: string | Uint8Array,
  encoding?: BufferEncoding | null,
  callback?: WriteCallback | null,
): boolean {
  return (this as SeamedRequest)[seamKey].send(data, encoding ?? null, callback ?? null);
}

/** Calls the `end` of the prototype that the request has now, which may not be the one that it was made with. */
function end(this: RequestInternals, ...parameters: unknown[]): unknown {
  const prototype = Object.getPrototypeOf(this) as RequestInternals;
  const result = (prototype.end as (...parameters: unknown[]) => unknown).apply(this, parameters);
  if (this.finished) (this as SeamedRequest)[seamKey].ended();
  return result;
}
