import { Readable } from "node:stream";
import type { Mesh } from "@selvage/core";
import axios, { type AxiosInstance, type AxiosRequestConfig, type AxiosResponse } from "axios";
import { type Answer, type Call, type Client, formDataOf, headersOf } from "../client.js";

const settings: AxiosRequestConfig = {
  validateStatus: () => true,
  proxy: false,
  maxBodyLength: Number.POSITIVE_INFINITY,
};

function configOf(call: Call, web: boolean): AxiosRequestConfig {
  const chunks = call.chunks && Readable.from(call.chunks, { objectMode: false });
  return {
    url: call.url,
    method: call.method ?? "GET",
    maxRedirects: call.follow ? 5 : 0,
    headers: { ...(call.chunks && { "content-type": "application/octet-stream" }), ...call.headers },
    ...(call.signal && { signal: call.signal }),
    data:
      call.json ??
      (call.form && new URLSearchParams(call.form)) ??
      (call.upload && formDataOf(call.upload)) ??
      (chunks && (web ? Readable.toWeb(chunks) : chunks)),
  };
}

function headers(response: AxiosResponse): Headers {
  return headersOf(JSON.parse(JSON.stringify(response.headers)));
}

/** axios on node:http, as it is by default. */
export function axiosClient(mesh: Mesh): Client {
  const instance = axios.create({ ...settings, httpAgent: mesh.agent, httpsAgent: mesh.httpsAgent });
  const client = clientOf("axios", instance, false);
  return {
    ...client,
    async open(call) {
      const abort = new AbortController();
      const response = await instance.request<Readable>({
        ...configOf(call, false),
        responseType: "stream",
        signal: abort.signal,
      });
      return { status: response.status, body: response.data, abort: () => abort.abort() };
    },
  };
}

/** axios on fetch. */
export function axiosFetchClient(mesh: Mesh): Client {
  const instance = axios.create({ ...settings, adapter: "fetch", env: { fetch: mesh.fetch } } as AxiosRequestConfig);
  const client = clientOf("axios (fetch)", instance, true);
  return {
    ...client,
    lacks: { manual: "axios on fetch always follows" },
    async open(call) {
      const abort = new AbortController();
      const response = await instance.request<AsyncIterable<Uint8Array>>({
        ...configOf(call, true),
        responseType: "stream",
        signal: abort.signal,
      });
      return { status: response.status, body: response.data, abort: () => abort.abort() };
    },
  };
}

function clientOf(name: string, instance: AxiosInstance, web: boolean): Omit<Client, "open"> {
  const send = async (call: Call, more: AxiosRequestConfig = {}): Promise<Answer> => {
    const response = await instance.request<ArrayBuffer>({
      ...configOf(call, web),
      responseType: "arraybuffer",
      ...more,
    });
    return {
      status: response.status,
      headers: headers(response),
      body: Buffer.from(response.data),
      trailers: web ? null : (response.request.res?.trailers ?? null),
      informational: null,
    };
  };
  return {
    name,
    scheme: "http",
    lacks: {},
    send: (call) => send(call),
    sendWithin: (timeout, call) => send(call, { timeout }),
  };
}
