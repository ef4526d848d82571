import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { Connection } from "../exchange.js";
import { ScriptedService } from "../testing/scripted-service.js";
import { HttpServer } from "./http-server.js";
import type { HttpServerOptions } from "./http-server-options.js";

const servers: HttpServer[] = [];
const clients: Socket[] = [];

async function start(options: Partial<HttpServerOptions> = {}, host = "127.0.0.1") {
  const server = new HttpServer({ service: new ScriptedService({ body: "hello" }), ...options });
  servers.push(server);
  const { port } = await server.listen({ port: 0, host });
  return { server, port };
}

function dial(port: number, host = "127.0.0.1"): Socket {
  const socket = connect({ port, host, noDelay: true });
  clients.push(socket);
  socket.on("error", () => {});
  return socket;
}

/** All that comes until the peer closes. */
async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  // Not `once`, which rejects with the resets that are expected here.
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

const get = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

afterEach(() => {
  for (const socket of clients.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.destroy();
});

test("HTTP/1 and HTTP/2 by prior knowledge share a port", async () => {
  const seen: string[] = [];
  const { port } = await start({
    onConnection: (c) => {
      seen.push(c.protocol);
      return true;
    },
  });
  const http1 = dial(port);
  http1.write(get);
  expect(await readAll(http1)).toMatch(/^HTTP\/1\.1 200 .*hello/s);
  const session = connectHttp2(`http://127.0.0.1:${port}`);
  const request = session.request({ ":path": "/" });
  expect((await request.toArray()).join("")).toBe("hello");
  session.close();
  expect(seen).toEqual(["http/1", "http/2"]);
});

test("a request that comes byte by byte is detected all the same, for both versions", async () => {
  const { port } = await start();
  const dribble = async (socket: Socket, bytes: Uint8Array) => {
    for (const byte of bytes) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
  };
  const http1 = dial(port);
  await dribble(http1, Buffer.from(get));
  expect(await readAll(http1)).toContain("hello");
  const http2 = dial(port);
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  await dribble(http2, Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings]));
  const [answer] = (await once(http2, "data")) as [Buffer];
  expect(answer[3]).toBe(4);
});

test("a client that ends its half after the request still gets the response where that is allowed", async () => {
  const { port } = await start({ http1: { allowHalfClose: true } });
  const socket = dial(port);
  socket.end("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  expect(await readAll(socket)).toContain("hello");
});

test("silence, half a request line and an early end are cut off after the deadline or at once", async () => {
  const { server, port } = await start({ detectTimeoutMs: 50 });
  const silent = dial(port);
  const partial = dial(port);
  partial.write("PROPFIND /");
  const ended = dial(port);
  ended.end("GE");
  expect(await Promise.all([silent, partial, ended].map(readAll))).toEqual(["", "", ""]);
  while (server.connections > 0) await new Promise(setImmediate);
});

test("what isn't HTTP is destroyed, or handed over with every byte", async () => {
  const reasons: string[] = [];
  const { port } = await start({ onProtection: (reason) => reasons.push(reason) });
  const refused = dial(port);
  refused.write("SSH-2.0-client\r\n\x00\x01");
  expect(await readAll(refused)).toBe("");
  expect(reasons).toEqual(["unknown protocol"]);

  const opaque: Connection[] = [];
  const { port: open } = await start({
    onOpaque: (connection, socket) => {
      opaque.push(connection);
      socket.pipe(socket);
    },
  });
  const socket = dial(open);
  socket.write("\x00\x01");
  expect(String((await once(socket, "data"))[0])).toBe("\x00\x01");
  socket.write("more");
  expect(String((await once(socket, "data"))[0])).toBe("more");
  expect(opaque[0]?.protocol).toBe("opaque");
});

test("a silent client counts as opaque where opaque connections are taken, with what it sent before", async () => {
  const { port } = await start({
    detectTimeoutMs: 50,
    onOpaque: (_, socket) => {
      socket.write("220 ready;");
      socket.pipe(socket);
    },
  });
  const silent = dial(port);
  expect(String((await once(silent, "data"))[0])).toBe("220 ready;");
  const partial = dial(port);
  partial.write("GE");
  let text = "";
  while (text !== "220 ready;GE") text += (await once(partial, "data"))[0];
});

test("half a ClientHello isn't opaque where TLS is served, and a hook that throws costs its connection only", async () => {
  const seen: Connection[] = [];
  const { port } = await start({
    tls: {},
    detectTimeoutMs: 50,
    onOpaque: (connection) => {
      seen.push(connection);
      throw new Error("no");
    },
  });
  const half = dial(port);
  half.write("\x16\x03\x01\x02");
  const other = dial(port);
  other.write("\x00");
  expect(await Promise.all([half, other].map(readAll))).toEqual(["", ""]);
  expect(seen.length).toBe(1);
});

test("a connection that the hook refuses, or throws at, never reaches the service", async () => {
  const service = new ScriptedService();
  const reasons: string[] = [];
  const { port } = await start({
    service,
    onProtection: (reason) => reasons.push(reason),
    onConnection: (c) => {
      if (c.remotePort % 2 === 0) throw new Error("no");
      return false;
    },
  });
  for (let i = 0; i < 6; i++) {
    const socket = dial(port);
    socket.write(get);
    expect(await readAll(socket)).toBe("");
  }
  expect(service.calls).toEqual([]);
  expect(new Set([...reasons, "a connection hook threw"])).toEqual(new Set(["a connection hook threw"]));
});

test("the context that the hook sets is on every exchange of the connection", async () => {
  const service = new ScriptedService({ body: "x" });
  const { port } = await start({
    service,
    onConnection: (c) => {
      c.context = { peer: "someone" };
      return true;
    },
  });
  const socket = dial(port);
  socket.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(socket, "data");
  socket.write(get);
  await readAll(socket);
  expect(service.calls.map((call) => call.x.connection?.context)).toEqual([{ peer: "someone" }, { peer: "someone" }]);
});

test("an IPv4 client of a dual-stack listener has an IPv4 address", async () => {
  const seen: Connection[] = [];
  const { port } = await start(
    {
      onConnection: (c) => {
        seen.push(c);
        return true;
      },
    },
    "::",
  );
  const socket = dial(port);
  await once(socket, "connect");
  const { localPort } = socket;
  socket.write(get);
  await readAll(socket);
  expect(seen[0]).toMatchObject({ remoteAddress: "127.0.0.1", localAddress: "127.0.0.1", localPort: port });
  expect(seen[0]?.remotePort).toBe(localPort);
});

test("connections beyond the limit are refused, and there is room again when one ends", async () => {
  const reasons: string[] = [];
  const { server, port } = await start({ maxConnections: 1, onProtection: (reason) => reasons.push(reason) });
  const first = dial(port);
  first.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(first, "data");
  expect(await readAll(dial(port))).toBe("");
  expect(reasons).toEqual(["too many connections"]);
  const gone = once([...connectionsOf(server)][0]!.socket, "close");
  first.destroy();
  await gone;
  const again = dial(port);
  again.write(get);
  expect(await readAll(again)).toContain("hello");
});

test("a connection drains before it expires, is destroyed just before, and an earlier expiry stays", async () => {
  const service = new ScriptedService(null);
  const { server, port } = await start({ service });
  const socket = dial(port);
  socket.write(get);
  const call = await service.next();
  const connection = call.x.connection!;
  const expiresAt = Date.now() + 600;
  server.expireAt(connection, expiresAt);
  server.expireAt(connection, Date.now() + 60_000);
  expect(await readAll(socket)).toBe("");
  expect(Date.now()).toBeLessThan(expiresAt);
  expect(call.aborted).not.toBeNull();
});

test("close lets exchanges finish, and resolves when the last connection is gone", async () => {
  const service = new ScriptedService(null);
  const { server, port } = await start({ service });
  const idle = dial(port);
  const busy = dial(port);
  busy.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  const call = await service.next();
  expect(server.active).toBe(1);
  let closed = false;
  const closing = server.close().then(() => {
    closed = true;
  });
  const refused = dial(port);
  expect(await readAll(refused)).toBe("");
  expect(closed).toBe(false);
  const text = readAll(busy);
  call.answer({ body: "done" });
  expect(await text).toMatch(/connection: close.*done/is);
  await closing;
  expect(idle.destroyed || (await readAll(idle)) === "").toBe(true);
  expect(server.connections).toBe(0);
});

test("close destroys what is left at its deadline", async () => {
  const service = new ScriptedService(null);
  const { server, port } = await start({ service });
  const socket = dial(port);
  socket.write(get);
  await service.next();
  await server.close(30);
  expect(await readAll(socket)).toBe("");
});

test("a thousand aborted connections leave nothing behind", async () => {
  const { server, port } = await start({ service: new ScriptedService(null) });
  const stages = [
    "",
    "G",
    "GET / HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "\x16\x03",
  ];
  for (let round = 0; round < 20; round++) {
    const sockets = Array.from({ length: 50 }, (_, i) => {
      const socket = dial(port);
      socket.write(stages[i % stages.length]!);
      return socket;
    });
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    for (const [i, socket] of sockets.entries()) {
      // A client that only ends its half is still answered, so a whole request has to be reset.
      if (i % 2 === 0 || i % stages.length === 3) socket.resetAndDestroy();
      else socket.destroy();
    }
    // Round by round, because Node accepts one connection in a turn and the queue of the kernel is short.
    while (server.connections > 0) await new Promise(setImmediate);
  }
  expect(server.active).toBe(0);
  await server.close(10);
});

function* connectionsOf(server: HttpServer): Generator<Connection> {
  const all: Connection[] = [];
  server.forEachConnection((c) => all.push(c));
  yield* all;
}
