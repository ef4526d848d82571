import { PassThrough } from "node:stream";
import type { Mesh } from "@selvage/core";
import { type Dispatcher, interceptors, request, stream } from "undici";
import { type Answer, type Call, type Client, headersOf, plainBodyOf, read } from "../client.js";

type Options = Omit<Dispatcher.RequestOptions, "origin" | "path" | "method">;

async function optionsOf(mesh: Mesh, call: Call, informational: number[]) {
  const { headers, body } = await plainBodyOf(call);
  return {
    dispatcher: call.follow ? mesh.dispatcher.compose(interceptors.redirect({ maxRedirections: 5 })) : mesh.dispatcher,
    method: call.method ?? "GET",
    headers,
    body,
    onInfo: ({ statusCode }: { statusCode: number }) => void informational.push(statusCode),
    ...(call.signal && { signal: call.signal }),
  };
}

/** `undici.request`. */
export function undiciRequestClient(mesh: Mesh): Client {
  const send = async (call: Call, more: Partial<Options> = {}): Promise<Answer> => {
    const informational: number[] = [];
    const response = await request(call.url, { ...(await optionsOf(mesh, call, informational)), ...more });
    const body = await read(response.body);
    const { statusCode, headers, trailers } = response;
    return { status: statusCode, headers: headersOf(headers), body, trailers, informational };
  };
  return {
    name: "undici request",
    scheme: "http",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (headersTimeout, call) => send(call, { headersTimeout }),
    async open(call) {
      const abort = new AbortController();
      const options = await optionsOf(mesh, call, []);
      const { statusCode, body } = await request(call.url, { ...options, signal: abort.signal });
      return { status: statusCode, body, abort: () => abort.abort() };
    },
  };
}

/** `undici.stream`, whose caller makes the stream that the body is written to. */
export function undiciStreamClient(mesh: Mesh): Client {
  const start = async (call: Call, more: Partial<Options>, signal?: AbortSignal) => {
    const informational: number[] = [];
    const options = { ...(await optionsOf(mesh, call, informational)), ...more, ...(signal && { signal }) };
    const body = new PassThrough();
    let done: Promise<unknown> = Promise.resolve();
    const head = new Promise<{ status: number; headers: Headers }>((resolve, reject) => {
      done = stream(call.url, options, ({ statusCode, headers }) => {
        resolve({ status: statusCode, headers: headersOf(headers as never) });
        return body;
      });
      done.catch((error) => {
        reject(error);
        body.destroy(error);
      });
    });
    body.on("error", () => {});
    return { ...(await head), body, informational, done };
  };
  const send = async (call: Call, more: Partial<Options> = {}): Promise<Answer> => {
    const { status, headers, body, informational, done } = await start(call, more);
    const bytes = await read(body);
    await done;
    return { status, headers, body: bytes, trailers: null, informational };
  };
  return {
    name: "undici stream",
    scheme: "https",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (headersTimeout, call) => send(call, { headersTimeout }),
    async open(call) {
      const abort = new AbortController();
      const { status, body } = await start(call, {}, abort.signal);
      return { status, body, abort: () => abort.abort() };
    },
  };
}
