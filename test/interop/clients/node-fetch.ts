import { Readable } from "node:stream";
import type { Mesh } from "@selvage/core";
import fetch, { type RequestInit, type Response } from "node-fetch";
import { type Call, type Client, formDataOf, headersOf } from "../client.js";

export function nodeFetchClient(mesh: Mesh): Client {
  const start = (call: Call, more: RequestInit = {}): Promise<Response> => {
    const headers: Record<string, string> = { ...call.headers };
    if (call.json !== undefined) headers["content-type"] = "application/json";
    return fetch(call.url, {
      agent: ({ protocol }) => (protocol === "https:" ? mesh.httpsAgent : mesh.agent),
      method: call.method ?? "GET",
      redirect: call.follow ? "follow" : "manual",
      headers,
      ...(call.signal && { signal: call.signal as never }),
      ...(call.json !== undefined && { body: JSON.stringify(call.json) }),
      ...(call.form && { body: new URLSearchParams(call.form) }),
      ...(call.upload && { body: formDataOf(call.upload) as never }),
      ...(call.chunks && { body: Readable.from(call.chunks, { objectMode: false }) }),
      ...more,
    });
  };
  const send = async (call: Call, more?: RequestInit) => {
    const response = await start(call, more);
    return {
      status: response.status,
      headers: headersOf(response.headers.raw() as never),
      body: Buffer.from(await response.arrayBuffer()),
      trailers: null,
      informational: null,
    };
  };
  return {
    name: "node-fetch",
    scheme: "http",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (timeoutMs, call) => send(call, { signal: AbortSignal.timeout(timeoutMs) as never }),
    async open(call) {
      const abort = new AbortController();
      const response = await start(call, { signal: abort.signal as never });
      return { status: response.status, body: response.body as unknown as Readable, abort: () => abort.abort() };
    },
  };
}
