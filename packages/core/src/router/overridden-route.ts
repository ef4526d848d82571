import type { HeaderList } from "@selvage/http2";
import { parseDuration } from "../config/duration.js";
import { headerValue } from "../telemetry/classification.js";
import type { Route } from "./route.js";

// Linkerd's names; RESOURCE_EXHAUSTED and the others as it writes them in annotations.
const grpcNames: Readonly<Record<string, number>> = Object.freeze({
  cancelled: 1,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  internal: 13,
  unavailable: 14,
});

/** As the configuration allows at most. */
const maxLimit = 10;

/**
 * A route as the headers of one request want it: `l5d-timeout` (or `l5d-request-timeout`), `l5d-retry-limit`,
 * `l5d-retry-timeout`, `l5d-retry-http` and `l5d-retry-grpc`, as Linkerd has them. What can't be read is as if it weren't
 * there. The budget, and which methods may be repeated, are not the caller's to change.
 */
export function overriddenRoute(route: Route, headers: HeaderList): Route {
  const { retry } = route;
  const timeoutMs = milliseconds(headerValue(headers, "l5d-timeout") ?? headerValue(headers, "l5d-request-timeout"));
  const perTryTimeoutMs = milliseconds(headerValue(headers, "l5d-retry-timeout"));
  return {
    ...route,
    timeoutMs: timeoutMs ?? route.timeoutMs,
    retry: {
      ...retry,
      limit: limitOf(headerValue(headers, "l5d-retry-limit")) ?? retry.limit,
      perTryTimeoutMs: perTryTimeoutMs ?? retry.perTryTimeoutMs,
      retriesStatus: statusesOf(headerValue(headers, "l5d-retry-http")) ?? retry.retriesStatus,
      retriesGrpcStatus: grpcStatusesOf(headerValue(headers, "l5d-retry-grpc")) ?? retry.retriesGrpcStatus,
    },
  };
}

function milliseconds(text: string | null): number | null {
  const value = text === null ? null : parseDuration(text);
  return typeof value === "number" ? value : null;
}

function limitOf(text: string | null): number | null {
  return text !== null && /^\d{1,9}$/.test(text) ? Math.min(Number(text), maxLimit) : null;
}

/** `5xx`, `gateway-error`, `nnn`, `nnn-mmm`, with commas between them. Only 400 to 599 is ever retried. */
function statusesOf(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const flags = new Uint8Array(600);
  for (const part of text.split(",")) {
    const one = part.trim();
    const range = one === "5xx" ? "500-599" : one === "gateway-error" ? "502-504" : one;
    const [, first, last = first] = /^(\d{3})(?:-(\d{3}))?$/.exec(range) ?? [];
    if (first === undefined) return null;
    for (let status = Math.max(400, Number(first)); status <= Math.min(599, Number(last)); status++) flags[status] = 1;
  }
  return flags;
}

function grpcStatusesOf(text: string | null): Uint8Array | null {
  if (text === null) return null;
  const flags = new Uint8Array(17);
  for (const part of text.split(",")) {
    const name = part.trim();
    if (!Object.hasOwn(grpcNames, name)) return null;
    flags[grpcNames[name]!] = 1;
  }
  return flags;
}
