import { Metadata, type StatusObject, status } from "@grpc/grpc-js";
import type { HeaderList } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { toMetadata } from "./call-metadata.js";

/** A status that doesn't come from the peer. */
export function localStatus(code: status, details: string): StatusObject {
  return { code, details, metadata: new Metadata() };
}

/** The status of a call whose exchange failed. */
export function statusOfError(error: ExchangeError): StatusObject {
  return localStatus(error.grpcStatus, error.message);
}

/**
 * The status that ends a response: from `grpc-status`, or, where there is none, from the HTTP status, as gRPC's
 * "HTTP to gRPC status code mapping" has it.
 */
export function statusOfTrailers(httpStatus: number, trailers: HeaderList): StatusObject {
  const metadata = toMetadata(trailers);
  const [code] = metadata.get("grpc-status");
  if (code === undefined) {
    if (httpStatus === 200) return { ...localStatus(status.UNKNOWN, "No status information received"), metadata };
    return { ...localStatus(codeOfHttp(httpStatus), `Received HTTP status code ${httpStatus}`), metadata };
  }
  const [message] = metadata.get("grpc-message");
  metadata.remove("grpc-status");
  metadata.remove("grpc-message");
  return {
    code: codeOf(String(code)),
    details: message === undefined ? "" : percentDecoded(String(message)),
    metadata,
  };
}

function codeOf(text: string): status {
  const code = /^[0-9]{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return code <= 16 ? (code as status) : status.UNKNOWN;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function codeOfHttp(httpStatus: number): status {
  switch (httpStatus) {
    case 400:
      return status.INTERNAL;
    case 401:
      return status.UNAUTHENTICATED;
    case 403:
      return status.PERMISSION_DENIED;
    case 404:
      return status.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return status.UNAVAILABLE;
    default:
      return status.UNKNOWN;
  }
}
