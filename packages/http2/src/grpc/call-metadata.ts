import { Metadata } from "@grpc/grpc-js";
import type { HeaderList } from "../exchange.js";
import { headersObject } from "../node/client/response-headers.js";

/** Fields that a call's own framing decides, and those that don't exist in HTTP/2. */
const reserved = new Set([
  "te",
  "content-type",
  "content-length",
  "user-agent",
  "host",
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
  "grpc-timeout",
  "grpc-encoding",
  "grpc-accept-encoding",
]);

/** Adds metadata to headers: values of `-bin` keys in base64. */
export function addMetadata(headers: string[], metadata: Metadata): void {
  const fields = metadata.toHttp2Headers();
  for (const name in fields) {
    if (reserved.has(name)) continue;
    const value = fields[name];
    if (Array.isArray(value)) for (const one of value) headers.push(name, one);
    else if (value !== undefined) headers.push(name, String(value));
  }
}

/** What a peer sent as metadata. What isn't legal as metadata is left out, and logged by grpc-js. */
export function toMetadata(headers: HeaderList): Metadata {
  return Metadata.fromHttp2Headers(headersObject(headers));
}
