import type { HeaderList } from "@selvage/http2";

/** `not_counted`: the caller gave up, which says nothing about who was asked. */
export type Classification = "success" | "failure" | "not_counted";

/** No gRPC status was given. */
export const noGrpcStatus = -1;

/** What a peer did wrong, as far as balancing is concerned. */
const grpcFailures = new Uint8Array(17);
// Linkerd's list: UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE, DATA_LOSS.
for (const status of [2, 4, 7, 13, 14, 15]) grpcFailures[status] = 1;

/**
 * Whether a response is a failure: HTTP 500 and above; gRPC by its status. Unlike in Linkerd, a gRPC response without a
 * status is a failure, since clients see UNKNOWN.
 */
export function isFailure(status: number, grpc: boolean, grpcStatus: number): boolean {
  if (!grpc) return status >= 500;
  return grpcStatus === noGrpcStatus || grpcFailures[grpcStatus] === 1;
}

/** `grpc-status` of a head or trailers: 0 to 16, 2 (UNKNOWN) for what isn't one, `noGrpcStatus` when there is none. */
export function grpcStatusOf(headers: HeaderList | null): number {
  const value = headers === null ? null : headerValue(headers, "grpc-status");
  if (value === null) return noGrpcStatus;
  const status = value.length === 0 || value.length > 2 ? Number.NaN : Number(value);
  return status >= 0 && status <= 16 && Number.isInteger(status) ? status : 2;
}

/** Whether a request is gRPC, by its content type. gRPC-Web is not: it has its status in the body. */
export function isGrpcRequest(method: string, headers: HeaderList): boolean {
  if (method !== "POST") return false;
  const type = headerValue(headers, "content-type");
  if (type === null || !type.startsWith("application/grpc")) return false;
  // 43 is "+", 59 is ";".
  return type.length === 16 || type.charCodeAt(16) === 43 || type.charCodeAt(16) === 59;
}

/** The first value of a header, `null` when it isn't there. */
export function headerValue(headers: HeaderList, name: string): string | null {
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (headers[i] === name) return headers[i + 1]!;
  }
  return null;
}
