import type { HeaderList } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { RetryReason } from "../target/target.js";
import { grpcStatusOf, headerValue, isGrpcRequest, noGrpcStatus } from "../telemetry/classification.js";
import type { RetryPolicy } from "./retry-policy.js";

/** Whether a request may be repeated although the peer may have acted on it. */
export function repeatsActed(
  policy: RetryPolicy,
  { method, headers }: Pick<MeshExchange, "method" | "headers">,
): boolean {
  return policy.methods.includes(method) || headerValue(headers, "idempotency-key") !== null;
}

/** Why a response is to be replaced by that of another attempt, by its head; `null`: it isn't. */
export function headReason(
  policy: RetryPolicy,
  x: MeshExchange,
  status: number,
  headers: HeaderList,
): RetryReason | null {
  if (isGrpcRequest(x.method, x.headers)) {
    let grpcStatus = grpcStatusOf(headers);
    // What gRPC makes of a gateway's answer: UNAVAILABLE.
    if (grpcStatus === noGrpcStatus && status >= 502 && status <= 504) grpcStatus = 14;
    return grpcStatus !== noGrpcStatus && policy.retriesGrpcStatus[grpcStatus] === 1 ? "grpc_status" : null;
  }
  return policy.retriesStatus[status] === 1 && repeatsActed(policy, x) ? "status" : null;
}
