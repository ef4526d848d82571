import { once } from "node:events";
import { Readable } from "node:stream";
import type { Mesh } from "@selvage/core";
import got, { type OptionsInit, type Response } from "got";
import { type Call, type Client, formDataOf, headersOf } from "../client.js";

function optionsOf(call: Call): OptionsInit {
  return {
    method: call.method ?? "GET",
    headers: { ...call.headers },
    followRedirect: call.follow ?? false,
    ...(call.signal && { signal: call.signal }),
    ...(call.json !== undefined && { json: call.json as Record<string, unknown> }),
    ...(call.form && { form: { ...call.form } }),
    ...(call.upload && { body: formDataOf(call.upload) }),
    ...(call.chunks && { body: Readable.from(call.chunks, { objectMode: false }) }),
  };
}

export function gotClient(mesh: Mesh): Client {
  const instance = got.extend({
    agent: { http: mesh.agent, https: mesh.httpsAgent as never },
    throwHttpErrors: false,
    retry: { limit: 0 },
  });
  const send = async (call: Call, more: OptionsInit = {}) => {
    const options = { ...optionsOf(call), ...more, responseType: "buffer" } as OptionsInit & { isStream?: false };
    const response = (await instance(call.url, options)) as Response<Uint8Array>;
    const { statusCode, headers, trailers } = response;
    return {
      status: statusCode,
      headers: headersOf(headers),
      body: Buffer.from(response.body),
      trailers,
      informational: null,
    };
  };
  return {
    name: "got",
    scheme: "https",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (request, call) => send(call, { timeout: { request } }),
    async open(call) {
      const stream = instance.stream(call.url, optionsOf(call) as { isStream?: true });
      const [response] = (await once(stream, "response")) as [{ statusCode: number }];
      return { status: response.statusCode, body: stream, abort: () => stream.destroy() };
    },
  };
}
