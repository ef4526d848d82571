import { Readable } from "node:stream";
import { type Call, type Client, formDataOf } from "../client.js";

type Fetch = typeof globalThis.fetch;

function initOf(call: Call, form: typeof FormData): RequestInit {
  const headers: Record<string, string> = { ...call.headers };
  if (call.json !== undefined) headers["content-type"] = "application/json";
  const body =
    call.json !== undefined
      ? JSON.stringify(call.json)
      : call.form !== undefined
        ? new URLSearchParams(call.form)
        : call.upload !== undefined
          ? formDataOf(call.upload, form)
          : call.chunks !== undefined
            ? Readable.toWeb(Readable.from(call.chunks, { objectMode: false }))
            : undefined;
  return {
    method: call.method ?? "GET",
    headers,
    redirect: call.follow ? "follow" : "manual",
    ...(call.signal && { signal: call.signal }),
    ...(body !== undefined && { body: body as never, duplex: "half" }),
  } as RequestInit;
}

/** Whatever has the interface of fetch. `around` is done for each call: for what is global. */
export function fetchClient(
  name: string,
  fetch: Fetch,
  around: <T>(call: () => Promise<T>) => Promise<T> = (call) => call(),
  form: typeof FormData = FormData,
): Client {
  const send = (call: Call, signal?: AbortSignal) =>
    around(async () => {
      const response = await fetch(call.url, { ...initOf(call, form), ...(signal && { signal }) });
      const body = Buffer.from(await response.arrayBuffer());
      return { status: response.status, headers: response.headers, body, trailers: null, informational: null };
    });
  return {
    name,
    scheme: "http",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (timeoutMs, call) => send(call, AbortSignal.timeout(timeoutMs)),
    async open(call) {
      const abort = new AbortController();
      const { status, body } = await around(() => fetch(call.url, { ...initOf(call, form), signal: abort.signal }));
      return { status, body: body as unknown as AsyncIterable<Uint8Array>, abort: () => abort.abort() };
    },
  };
}
