import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { AppExit } from "./app-exit.js";
import { clientGone, FakeBody, fakeExchange, send } from "./app-exit-fakes.js";
import { exchangeOf } from "./exchange-of.js";

const upgrade = {
  version: "1.1" as const,
  tunnel: true,
  headers: ["host", "app.test", "connection", "Upgrade", "upgrade", "echo"],
};

function echoServer() {
  const server = createServer((_, res) => res.writeHead(426).end("upgrade, please"));
  const seen: { req: IncomingMessage; socket: Duplex }[] = [];
  server.on("upgrade", (req, socket, head) => {
    seen.push({ req, socket });
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.write(head);
    socket.pipe(socket);
    socket.on("error", () => {});
  });
  return { server, seen };
}

test("an upgrade becomes a tunnel in both directions, with the application's end", async () => {
  const { server, seen } = echoServer();
  const exit = new AppExit(server);
  const body = new FakeBody();
  const { x, sink } = send(exit, { ...upgrade, body });
  await once(sink, "head");
  expect([sink.status, sink.header("upgrade"), exit.active]).toEqual([101, "echo", 1]);
  expect(exchangeOf(seen[0]?.req as IncomingMessage)).toBe(x);
  body.give("ping");
  await once(sink, "data");
  expect(sink.body).toBe("ping");
  body.end();
  await sink.done();
  expect([sink.ended, exit.active]).toEqual([true, 0]);
});

test("an upgrade that nobody wants is a request like others", async () => {
  const exit = new AppExit(createServer((_, res) => res.writeHead(426).end("no")));
  const { sink } = send(exit, { ...upgrade, body: new FakeBody() });
  await sink.done();
  expect([sink.status, sink.body]).toEqual([426, "no"]);
});

test("a tunnel ends for the application when the client goes", async () => {
  const { server, seen } = echoServer();
  const body = new FakeBody();
  const { x, sink } = send(new AppExit(server), { ...upgrade, body });
  await once(sink, "head");
  const closed = new Promise((resolve) => seen[0]?.socket.once("close", resolve));
  x.flow.abort(clientGone());
  expect(sink.error?.code).toBe("SELVAGE_ERR_ABORTED");
  await closed;
});

test("a tunnel ends for the client when the application destroys its socket", async () => {
  const { server, seen } = echoServer();
  const { sink } = send(new AppExit(server), { ...upgrade, body: new FakeBody() });
  await once(sink, "head");
  seen[0]?.socket.destroy();
  await sink.done();
  expect(sink.over).toBe(true);
});

test("CONNECT reaches a 'connect' listener", async () => {
  const server = createServer();
  server.on("connect", (req, socket) => {
    socket.write(`HTTP/1.1 200 OK\r\n\r\nto ${req.url}`);
    socket.end();
  });
  const x = fakeExchange({ method: "CONNECT", version: "1.1", tunnel: true, path: "", body: new FakeBody() });
  x.authority = "other.test:443";
  x.headers = ["host", "other.test:443"];
  const { sink } = send(new AppExit(server), x);
  await once(sink, "data");
  expect([sink.status, sink.body]).toEqual([200, "to other.test:443"]);
  x.flow.abort(clientGone());
});

test("a request that was passed on but not yet read survives server.close()", async () => {
  const server = createServer((_, res) => res.end("ok"));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { sink } = send(new AppExit(server, { seam: "pair" }));
  server.close();
  await sink.done();
  expect([sink.error, sink.body]).toEqual([null, "ok"]);
});

test("streams in memory are gone when their exchange is over", async () => {
  const sockets: Duplex[] = [];
  const server = createServer((req, res) => {
    sockets.push(req.socket);
    res.end("ok");
  });
  const exit = new AppExit(server, { seam: "pair" });
  await send(exit).sink.done();
  await send(exit, { method: "POST", body: "hello" }).sink.done();
  for (let i = 0; i < 10; i++) await nextTurn();
  expect(sockets.map((socket) => socket.destroyed)).toEqual([true, true]);
});
