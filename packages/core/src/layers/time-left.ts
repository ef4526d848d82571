import type { MeshExchange } from "../exchange.js";
import { isGrpcRequest } from "../telemetry/classification.js";
import { withoutHeader } from "./without-header.js";

/**
 * Milliseconds until the caller stops waiting, between meshed ends, for what is not gRPC (that has `grpc-timeout`). Like all
 * `l5d-` headers it is taken out of what applications and unknown peers send, so that nobody else can set it.
 */
export const timeLeftHeader = "l5d-time-left";

// Most requests have the same time left.
let toldMs = 0;
let told = "";

/** Tells a meshed endpoint the deadline of an exchange that has one. A tunnel has none beyond its head. */
export function tellTimeLeft(x: MeshExchange, now: number): void {
  if (x.tunnel || isGrpcRequest(x.method, x.headers)) return;
  // Of an attempt before this one on the same exchange.
  const headers = withoutHeader(x.headers, timeLeftHeader);
  const leftMs = Math.max(1, Math.floor(x.deadlineAt - now));
  if (leftMs !== toldMs) {
    toldMs = leftMs;
    told = String(leftMs);
  }
  headers.push(timeLeftHeader, told);
  x.headers = headers;
}

/** Takes a verified peer's word for when it stops waiting. It only shortens. */
export function heedTimeLeft(x: MeshExchange, value: string): void {
  // Ten digits are more than a deadline may have.
  if (/^\d{1,10}$/.test(value)) x.deadlineAt = Math.min(x.deadlineAt, x.startedAt + Number(value));
}
