import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { request, WebSocket } from "undici";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tcpConnect } from "../../client/connect.js";
import { EndpointClient } from "../../client/endpoint-client.js";
import type { Exchange, Service, Sink } from "../../exchange.js";
import { HttpServer } from "../../server/http-server.js";
import { createFetch } from "./create-fetch.js";
import { ServiceAgent } from "./service-agent.js";
import { ServiceDispatcher } from "./service-dispatcher.js";

const megabyte = Buffer.alloc(1 << 20, "m");

/** An application of node:http. */
function app(req: http.IncomingMessage, res: http.ServerResponse): void {
  if (req.url === "/large") {
    res.writeHead(200, { "content-type": "application/octet-stream" });
    Readable.from([megabyte, megabyte, megabyte, megabyte]).pipe(res);
  } else if (req.url === "/hints") {
    res.writeEarlyHints({ link: "</a>; rel=preload" });
    res.end("hinted");
  } else if (req.url === "/trailers") {
    res.writeHead(200, { trailer: "x-t" });
    res.write("body");
    res.addTrailers({ "x-t": "1" });
    res.end();
  } else if (req.url === "/none") {
    res.writeHead(204).end();
  } else if (req.url === "/cut") {
    res.writeHead(200, { "content-length": "10" });
    res.write("part");
    setImmediate(() => res.destroy());
  } else if (req.url === "/never") {
    req.resume();
  } else {
    let bytes = 0;
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    req.on("end", () => res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, bytes })));
  }
}

function echoUpgrades(server: http.Server): void {
  server.on("upgrade", (_req, socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n");
    socket.pipe(socket);
  });
}

/** Sends what arrives on, as a proxy does. */
class Forward implements Service {
  readonly #to: Service;
  constructor(to: Service) {
    this.#to = to;
  }
  call(x: Exchange, sink: Sink): void {
    this.#to.call(x, sink);
  }
}

const web = http.createServer(app);
echoUpgrades(web);
const closers: (() => void)[] = [];
const services: Record<string, Service> = {};

beforeAll(async () => {
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  const { port } = web.address() as AddressInfo;
  const direct = new EndpointClient(tcpConnect({ host: "127.0.0.1", port, timeoutMs: 1000, lent: true }), {
    protocol: "h1",
  });
  services["over HTTP/1"] = direct;
  const hop = new HttpServer({ service: new Forward(direct), restoreHttp1: () => true });
  const { port: hopPort } = await hop.listen({ port: 0, host: "127.0.0.1" });
  const carrying = new EndpointClient(tcpConnect({ host: "127.0.0.1", port: hopPort, timeoutMs: 1000, lent: true }), {
    protocol: "h2",
    carryHttp1: true,
  });
  services["carried on HTTP/2"] = carrying;
  closers.push(
    () => carrying.destroy(),
    () => hop.destroy(),
    () => direct.destroy(),
    () => web.closeAllConnections(),
    () => web.close(),
  );
});

afterAll(() => {
  for (const close of closers) close();
});

const base = "http://web.shop:1234";

async function textOf(res: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of res.setEncoding("utf8")) text += chunk as string;
  return text;
}

describe.each(["over HTTP/1", "carried on HTTP/2"])("%s", (how) => {
  const dispatcherOf = (): ServiceDispatcher => new ServiceDispatcher(services[how]!);
  const agentOf = (asText = false): ServiceAgent => new ServiceAgent(services[how]!, { asText });

  it("fetch sends and reads bodies of any size", async () => {
    const fetch = createFetch(dispatcherOf());
    const sent = await fetch(`${base}/sum?x=1`, {
      method: "POST",
      body: Buffer.concat([megabyte, megabyte, megabyte]),
    });
    expect(await sent.json()).toMatchObject({
      method: "POST",
      url: "/sum?x=1",
      bytes: 3 << 20,
      headers: { host: "web.shop:1234" },
    });
    const stream = new ReadableStream({
      start(controller) {
        for (let i = 0; i < 4; i++) controller.enqueue(new Uint8Array(megabyte));
        controller.close();
      },
    });
    const streamed = await fetch(`${base}/sum`, { method: "PUT", body: stream, duplex: "half" } as RequestInit);
    expect(await streamed.json()).toMatchObject({ bytes: 4 << 20 });
    expect((await (await fetch(`${base}/large`)).arrayBuffer()).byteLength).toBe(4 << 20);
    expect((await fetch(`${base}/none`)).status).toBe(204);
    expect(await (await fetch(`${base}/large`, { method: "HEAD" })).text()).toBe("");
  });

  it("fetch sees a response break off, and aborts one", async () => {
    const fetch = createFetch(dispatcherOf());
    await expect((await fetch(`${base}/cut`)).text()).rejects.toThrow();
    const abort = new AbortController();
    const pending = fetch(`${base}/never`, { method: "POST", body: "x", signal: abort.signal });
    setTimeout(() => abort.abort(new Error("enough")), 20);
    await expect(pending).rejects.toThrow("enough");
  });

  it("undici gets hints, trailers and timeouts", async () => {
    const dispatcher = dispatcherOf();
    const infos: { statusCode: number }[] = [];
    const onInfo = (info: { statusCode: number }): unknown => infos.push(info);
    const hinted = await request(`${base}/hints`, { dispatcher, onInfo } as Parameters<typeof request>[1]);
    expect(await hinted.body.text()).toBe("hinted");
    expect(infos.map((info) => info.statusCode)).toEqual([103]);
    const response = await request(`${base}/trailers`, { dispatcher });
    expect(await response.body.text()).toBe("body");
    expect(response.trailers).toEqual({ "x-t": "1" });
    await expect(request(`${base}/never`, { dispatcher, headersTimeout: 30 })).rejects.toMatchObject({
      code: "UND_ERR_HEADERS_TIMEOUT",
    });
  });

  it.each([false, true])("node:http sends, reads, gets hints and trailers (as text: %s)", async (asText) => {
    const agent = agentOf(asText);
    const post = http.request(`${base}/sum`, { agent, method: "POST" });
    Readable.from([megabyte, megabyte]).pipe(post);
    expect(JSON.parse(await textOf(((await once(post, "response")) as [IncomingMessage])[0]))).toMatchObject({
      bytes: 2 << 20,
    });
    const large = http.get(`${base}/large`, { agent });
    expect((await textOf(((await once(large, "response")) as [IncomingMessage])[0])).length).toBe(4 << 20);
    const hinted = http.get(`${base}/hints`, { agent });
    const [info] = (await once(hinted, "information")) as [{ statusCode: number }];
    expect(info.statusCode).toBe(103);
    const trailed = http.get(`${base}/trailers`, { agent });
    const [res] = (await once(trailed, "response")) as [IncomingMessage];
    await textOf(res);
    expect(res.trailers).toEqual({ "x-t": "1" });
    const expecting = http.request(`${base}/sum`, {
      agent,
      method: "POST",
      headers: { expect: "100-continue", "content-length": 4 },
    });
    expecting.on("continue", () => expecting.end("body"));
    expect(JSON.parse(await textOf(((await once(expecting, "response")) as [IncomingMessage])[0]))).toMatchObject({
      bytes: 4,
    });
    const cut = http.get(`${base}/cut`, { agent });
    const [broken] = (await once(cut, "response")) as [IncomingMessage];
    await expect(textOf(broken)).rejects.toMatchObject({ code: "ECONNRESET" });
    agent.destroy();
  });

  it("upgrades become tunnels", async () => {
    const req = http.get(`${base}/up`, { agent: agentOf(), headers: { connection: "Upgrade", upgrade: "echo" } });
    const [res, socket] = (await once(req, "upgrade")) as [IncomingMessage, import("node:stream").Duplex];
    expect(res.headers.upgrade).toBe("echo");
    socket.end("through the tunnel");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toBe("through the tunnel");
  });

  it("many at once keep their answers apart", async () => {
    const dispatcher = dispatcherOf();
    const agent = agentOf();
    const fetch = createFetch(dispatcher);
    const urls = Array.from({ length: 60 }, (_, i) => `/n/${i}`);
    const got = await Promise.all(
      urls.map(async (url, i) => {
        if (i % 3 === 0) return (await (await fetch(base + url)).json()) as { url: string };
        if (i % 3 === 1) return (await (await request(base + url, { dispatcher })).body.json()) as { url: string };
        const req = http.get(base + url, { agent });
        return JSON.parse(await textOf(((await once(req, "response")) as [IncomingMessage])[0])) as { url: string };
      }),
    );
    expect(got.map(({ url }) => url)).toEqual(urls);
  });

  it("a WebSocket that is refused fails, and doesn't hang", async () => {
    const socket = new WebSocket("ws://web.shop:1234/up", { dispatcher: dispatcherOf() });
    await new Promise((resolve) => {
      socket.onerror = resolve;
    });
    expect(socket.readyState).not.toBe(WebSocket.OPEN);
  });
});
