import type { HttpVersion } from "../exchange.js";

/** Linkerd's header that says what a stream carries, when it carries HTTP/1 (`linkerd/proxy/http/src/orig_proto.rs`). */
export const origProtoHeader = "l5d-orig-proto";

/** What the request header says for a version and form of the request target. */
export function origProtoValue(version: HttpVersion, absoluteForm: boolean): string {
  if (version === "1.0") return absoluteForm ? "HTTP/1.0; absolute-form" : "HTTP/1.0";
  return absoluteForm ? "HTTP/1.1; absolute-form" : "HTTP/1.1";
}

/** The version that a value names; `null` for anything that is not HTTP/1.0 or HTTP/1.1. What follows is not looked at. */
export function origProtoVersion(value: string): HttpVersion | null {
  if (value.startsWith("HTTP/1.1")) return "1.1";
  if (value.startsWith("HTTP/1.0")) return "1.0";
  return null;
}

/** Whether a value marks an absolute-form request target: the word stands at offset 10, as linkerd reads it. */
export function origProtoAbsoluteForm(value: string): boolean {
  return value.startsWith("absolute-form", 10);
}
