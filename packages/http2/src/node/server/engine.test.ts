import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, type RequestListener, request, type Server } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { afterEach, expect, test } from "vitest";
import { HttpServer } from "../../server/http-server.js";
import { AppExit } from "./app-exit.js";
import { takeOver } from "./take-over.js";

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A genuine http.Server on a port, served by the engine. */
async function serve(app: RequestListener | Server, seam: "objects" | "pair" = "objects") {
  const server = typeof app === "function" ? createServer(app) : app;
  const exit = new AppExit(server, { seam });
  const engine = new HttpServer({ service: exit });
  takeOver(server, {
    accept: (socket) => engine.accept(socket),
    closeIdle: () => engine.drain(),
    closeAll: () => engine.destroy(),
    active: () => exit.active,
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    engine.destroy();
    server.close();
  });
  return { server, exit, port: (server.address() as AddressInfo).port };
}

function http2To(port: number): ClientHttp2Session {
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

async function http1(port: number, options: object, body?: string): Promise<{ res: IncomingMessage; text: string }> {
  const agent = new Agent();
  const req = request({ port, host: "127.0.0.1", agent, ...options });
  req.end(body);
  const [res] = (await once(req, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of res) text += chunk;
  agent.destroy();
  return { res, text };
}

async function http2(session: ClientHttp2Session, headers: Record<string, string>, body?: string | Buffer) {
  const stream = session.request(headers, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  const [head] = (await once(stream, "response")) as [Record<string, string>];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { head, body: Buffer.concat(chunks) };
}

const echo: RequestListener = (req, res) => {
  res.setHeader("X-Url", req.url ?? "");
  req.pipe(res);
};

test.each(["objects", "pair"] as const)("HTTP/1 and HTTP/2 clients reach one application through %s", async (seam) => {
  const { port } = await serve(echo, seam);
  const { res, text } = await http1(port, { method: "POST", path: "/one" }, "hello");
  expect([res.statusCode, res.headers["x-url"], text]).toEqual([200, "/one", "hello"]);
  const { head, body } = await http2(http2To(port), { ":method": "POST", ":path": "/two" }, "hello");
  expect([head[":status"], head["x-url"], body.toString()]).toEqual([200, "/two", "hello"]);
});

test("HTTP/1 clients see header names as the application wrote them", async () => {
  const { port } = await serve((_, res) => res.setHeader("X-ABc", "1").end());
  const { res } = await http1(port, {});
  expect(res.rawHeaders).toContain("X-ABc");
});

test("megabytes cross in both directions at once", async () => {
  const { port } = await serve(echo);
  const payload = Buffer.alloc(3_000_000, "selvage");
  const session = http2To(port);
  const answers = await Promise.all([1, 2, 3].map(() => http2(session, { ":method": "POST", ":path": "/" }, payload)));
  for (const { body } of answers) expect(body.equals(payload)).toBe(true);
});

test("a client that resets its stream aborts the request, and no other on the connection", async () => {
  const aborted = deferred();
  const { port, exit } = await serve((req, res) => {
    if (req.url === "/ok") res.end("ok");
    else req.on("aborted", () => aborted.resolve());
  });
  const session = http2To(port);
  const stream = session.request({ ":path": "/hang" });
  stream.on("error", () => {});
  await http2(session, { ":path": "/ok" });
  stream.close(constants.NGHTTP2_CANCEL);
  await aborted.promise;
  expect((await http2(session, { ":path": "/ok" })).body.toString()).toBe("ok");
  expect(exit.active).toBe(0);
});

test("an application that destroys its response resets the stream", async () => {
  const { port } = await serve((_, res) => {
    res.write("part");
    setImmediate(() => res.destroy());
  });
  const stream = http2To(port).request({ ":path": "/" });
  stream.resume();
  const [error] = await once(stream, "error").catch((error) => [error]);
  expect((error as NodeJS.ErrnoException).code).toBe("ERR_HTTP2_STREAM_ERROR");
});

test("trailers and informational heads cross", async () => {
  const { port } = await serve((_, res) => {
    res.writeEarlyHints({ link: "</a>; rel=preload" });
    res.writeHead(200, { trailer: "x-sum" });
    res.write("a");
    res.addTrailers({ "x-sum": "1" });
    res.end();
  });
  const stream = http2To(port).request({ ":path": "/" });
  stream.resume();
  const [[hints], [trailers]] = await Promise.all([once(stream, "headers"), once(stream, "trailers")]);
  expect([hints[":status"], trailers["x-sum"]]).toEqual([103, "1"]);
});

test("a WebSocket-like upgrade over HTTP/1 becomes a tunnel", async () => {
  const server = createServer();
  server.on("upgrade", (_, socket) => {
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.pipe(socket);
    socket.on("error", () => {});
  });
  const { port } = await serve(server);
  const client = connect(port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n");
  let text = "";
  client.on("data", (chunk) => {
    text += chunk;
  });
  while (!text.includes("\r\n\r\n")) await once(client, "data");
  expect(text).toMatch(/^HTTP\/1\.1 101 /);
  client.write("ping");
  while (!text.endsWith("ping")) await once(client, "data");
  client.destroy();
});

test("close() lets the exchange in flight finish, and then closes the connections", async () => {
  const finish = deferred();
  const started = deferred();
  const { server, port } = await serve(async (_, res) => {
    started.resolve();
    await finish.promise;
    res.end("done");
  });
  const session = http2To(port);
  const answer = http2(session, { ":path": "/" });
  await started.promise;
  const closed = new Promise((resolve) => server.close(resolve));
  finish.resolve();
  expect((await answer).body.toString()).toBe("done");
  await closed;
});

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
