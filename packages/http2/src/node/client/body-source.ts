import type { DispatchError } from "./dispatch-error.js";
import { invalidArgument } from "./dispatch-error.js";
import { IterableBody } from "./iterable-body.js";
import { blobChunks, isBlobLike, isFormDataLike, Multipart } from "./multipart.js";
import { type BodyOwner, BytesBody, chunkBytes, mismatch, type RequestBody } from "./request-body.js";
import type { RequestHead } from "./request-head.js";
import { isReadableLike, StreamBody, streamLength } from "./stream-body.js";

/**
 * The body of a request, from anything that undici's callers may pass. Adds the content-type that a form or blob brings.
 * Throws what undici's errors are called: UND_ERR_INVALID_ARG, UND_ERR_REQ_CONTENT_LENGTH_MISMATCH.
 */
export function makeBody(owner: BodyOwner, value: unknown, head: RequestHead): RequestBody | null {
  const declared = head.contentLength;
  if (value === null || value === undefined) return null;
  const bytes = chunkBytes(value);
  if (bytes !== null) {
    if (bytes.byteLength === 0) return null;
    if (declared >= 0 && declared !== bytes.byteLength) throw mismatch();
    return new BytesBody(owner, bytes);
  }
  if (typeof value !== "object") throw badBody();
  if (isReadableLike(value)) {
    const length = streamLength(value);
    return length === 0 ? null : new StreamBody(owner, value, known(length, declared));
  }
  if (isFormDataLike(value)) {
    const multipart = new Multipart(value);
    if (!head.hasContentType) head.list.push("content-type", multipart.contentType);
    return new IterableBody(owner, multipart, known(multipart.length, declared));
  }
  if (isBlobLike(value)) {
    if (!head.hasContentType && value.type !== "" && !/[^\t\x20-\x7e]/.test(value.type)) {
      head.list.push("content-type", value.type);
    }
    return value.size === 0 ? null : new IterableBody(owner, blobChunks(value), known(value.size, declared));
  }
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = value as {
    [Symbol.asyncIterator]?: unknown;
    [Symbol.iterator]?: unknown;
  };
  if (typeof asynchronous !== "function" && typeof synchronous !== "function") throw badBody();
  return new IterableBody(owner, value as Iterable<unknown>, declared);
}

/** The length found in the source and the one that the caller declared, which must not disagree. -1 is unknown. */
function known(found: number, declared: number): number {
  if (found >= 0 && declared >= 0 && found !== declared) throw mismatch();
  return found >= 0 ? found : declared;
}

function badBody(): DispatchError {
  return invalidArgument("body must be a string, a Buffer, a Readable stream, an iterable, or an async iterable");
}
