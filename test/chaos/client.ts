import { type Agent, type OutgoingHttpHeaders, request } from "node:http";
import type { Outcome } from "./load.js";

export interface Call {
  readonly agent: Agent;
  readonly authority: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string;
  /** A proxy on loopback, that gets absolute-form targets: the outbound listener of a shim. */
  readonly proxyPort?: number;
}

/** One request by node:http; the answer counts when it is complete. */
export function call(one: Call): Promise<Outcome> {
  return new Promise((resolve) => {
    const { proxyPort, authority, path } = one;
    const req = request(
      {
        agent: one.agent,
        method: one.method ?? "GET",
        host: proxyPort === undefined ? authority : "127.0.0.1",
        ...(proxyPort !== undefined && { port: proxyPort }),
        path: proxyPort === undefined ? path : `http://${authority}${path}`,
        headers: { ...one.headers, host: authority },
      },
      (res) => {
        res.on("error", () => {});
        const why = res.headers["l5d-proxy-error"];
        const outcome = why === undefined ? (res.statusCode ?? 0) : `${res.statusCode} ${why}`;
        res.on("close", () => resolve(res.complete ? outcome : "broken"));
        res.resume();
      },
    );
    req.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    req.end(one.body);
  });
}
