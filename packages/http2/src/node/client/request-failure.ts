import { channel } from "node:diagnostics_channel";
import type { RequestInternals } from "./client-internals.js";

const errorChannel = channel("http.client.request.error");

/** Emits 'error' on a request, after telling who watches Node's diagnostics channel. */
export function emitError(request: RequestInternals, error: Error): void {
  if (errorChannel.hasSubscribers) errorChannel.publish({ request, error });
  request.emit("error", error);
}

/** The error that Node gives for a connection that ended too early. */
export function hangUp(message: string, cause: Error | null): Error {
  const error = new Error(message, cause === null ? undefined : { cause });
  return Object.assign(error, { code: "ECONNRESET" });
}
