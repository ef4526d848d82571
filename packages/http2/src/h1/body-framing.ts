import type { FieldBlock } from "./field-block.js";

/** No body at all. */
export const noBody = 0;
export const lengthBody = 1;
export const chunkedBody = 2;
/** Up to the end of the connection; or, after a head that switches protocols, the raw bytes of a tunnel. */
export const rawBody = 3;

/** How a request's body is framed (RFC 9112, section 6.3). Contradictions were refused before. */
export function requestFraming(fields: FieldBlock): number {
  if (fields.chunked) return chunkedBody;
  return fields.contentLength > 0 ? lengthBody : noBody;
}

/** Whether a response with this status, to this method, can have a body. */
export function hasResponseBody(status: number, method: string): boolean {
  return status >= 200 && status !== 204 && status !== 304 && method !== "HEAD";
}

/** How a response's body is framed (RFC 9112, section 6.3). Not for heads that switch protocols. */
export function responseFraming(fields: FieldBlock, status: number, method: string): number {
  if (!hasResponseBody(status, method)) return noBody;
  if (fields.chunked) return chunkedBody;
  if (fields.contentLength < 0) return rawBody;
  return fields.contentLength > 0 ? lengthBody : noBody;
}
