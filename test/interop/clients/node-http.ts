import { once } from "node:events";
import http, { type Agent, type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";
import { pipeline } from "node:stream";
import { type Answer, type Call, type Client, headersOf, plainBodyOf, read } from "../client.js";

/** `http.request` and `https.request`. A `port` goes past the mesh, to the mesh port in plain HTTP. */
export function nodeHttpClient(
  name: string,
  scheme: "http" | "https",
  agent: Agent | undefined,
  port?: number,
): Client {
  const start = async (call: Call, more: RequestOptions = {}) => {
    const url = new URL(call.url);
    const { headers, body } = await plainBodyOf(call);
    const trailer = headers["x-send-trailer"];
    if (trailer !== undefined) headers["trailer"] = "X-Sum";
    const request: ClientRequest = (scheme === "https" ? https : http).request(
      port === undefined ? url : `http://127.0.0.1:${port}${url.pathname}${url.search}`,
      {
        method: call.method ?? "GET",
        headers: { host: url.host, ...headers },
        ...(agent && { agent }),
        ...(call.signal && { signal: call.signal }),
        ...more,
      },
    );
    const informational: number[] = [];
    request.on("information", ({ statusCode }) => {
      if (statusCode !== 100) informational.push(statusCode);
    });
    request.on("timeout", () => request.destroy(new Error("given up by the client's timeout")));
    if (trailer !== undefined) request.addTrailers({ "X-Sum": trailer });
    if (body === null) request.end();
    else if (Buffer.isBuffer(body)) request.end(body);
    else pipeline(body, request, () => {});
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return { request, response, informational };
  };
  const send = async (call: Call, more?: RequestOptions): Promise<Answer> => {
    const { response, informational } = await start(call, more);
    const body = await read(response);
    const { statusCode = 0, headers, trailers } = response;
    return { status: statusCode, headers: headersOf(headers), body, trailers, informational };
  };
  return {
    name,
    scheme,
    lacks: { follow: "node:http follows no redirects" },
    send: (call) => send(call),
    sendWithin: (timeout, call) => send(call, { timeout }),
    async open(call) {
      const { request, response } = await start(call);
      request.on("error", () => {});
      return { status: response.statusCode ?? 0, body: response, abort: () => request.destroy() };
    },
  };
}
