import { connect, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Exchange, type Service } from "../exchange.js";
import { HttpServer } from "./http-server.js";
import { ServedTunnel } from "./served-tunnel.js";

const cleanups: (() => unknown)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A server that takes what is inside of a CONNECT as a connection of its own. */
async function start(
  allowConnect10 = true,
): Promise<{ server: HttpServer; socket: Socket; closed: () => Promise<unknown> }> {
  const app: Service = {
    call(x, sink) {
      if (x.method === "CONNECT") {
        server.accept(new ServedTunnel(x, sink));
        return;
      }
      const text = `${x.method} ${x.authority}${x.path} over ${x.version} from ${x.connection?.remoteAddress}\n`;
      const body = x.path === "/large" ? Buffer.alloc(4_000_000, "x") : Buffer.from(text);
      sink.onHead(200, ["content-length", String(body.length)]);
      sink.onData(body);
      sink.onEnd(null);
    },
  };
  const server: HttpServer = new HttpServer({
    service: app,
    newExchange: () => new Exchange(),
    http1: { allowConnect10 },
  });
  cleanups.push(() => server.destroy());
  const { port } = await server.listen({ host: "127.0.0.1", port: 0 });
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => {});
  cleanups.push(() => socket.destroy());
  // A reset is an end, too: `once` would take it for a failure.
  return { server, socket, closed: () => new Promise((resolve) => socket.once("close", resolve)) };
}

async function read(socket: Socket, until: (text: string) => boolean): Promise<string> {
  let text = "";
  socket.setEncoding("latin1");
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (until(text)) break;
  }
  return text;
}

test.each(["1.1", "1.0"])(
  "requests inside of CONNECT by HTTP/%s are served, those sent along with it too",
  async (version) => {
    const { socket } = await start();
    const inside =
      "GET /a HTTP/1.1\r\nHost: b.test\r\n\r\nGET /b HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n";
    socket.write(`CONNECT b.test:80 HTTP/${version}\r\nHost: b.test:80\r\n\r\n${inside}`);
    const text = await read(socket, () => false);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n(?!content-length|transfer-encoding)/i);
    expect(text).toContain("GET b.test/a over 1.1 from 127.0.0.1\n");
    expect(text).toContain("GET b.test/b over 1.1 from 127.0.0.1\n");
  },
);

test("HTTP/1.0 has no CONNECT unless that is allowed", async () => {
  const { socket } = await start(false);
  socket.write("CONNECT b.test:80 HTTP/1.0\r\n\r\n");
  expect(await read(socket, () => false)).toMatch(/^HTTP\/1\.1 400 /);
});

test("a client that reads slowly holds up what is written into the tunnel, and gets all of it", async () => {
  const { socket } = await start();
  socket.write("CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\nGET /large HTTP/1.1\r\nHost: b.test\r\n\r\n");
  let bytes = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > 4_000_000) break;
  }
  expect(bytes).toBeGreaterThan(4_000_000);
});

test("the end of either side ends both, and leaves no connection", async () => {
  const { server, socket } = await start();
  socket.write("CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
  await read(socket, (text) => text.includes("127.0.0.1"));
  expect(server.connections).toBe(2);
  socket.destroy();
  await expect.poll(() => server.connections).toBe(0);
  const other = await start();
  other.socket.write("CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\nnonsense\r\n\r\n");
  other.socket.resume();
  await other.closed();
  await expect.poll(() => other.server.connections).toBe(0);
});

test("a drain ends idle tunnels", async () => {
  const { server, socket } = await start();
  socket.write("CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\nGET / HTTP/1.1\r\nHost: b.test\r\n\r\n");
  await read(socket, (text) => text.includes("127.0.0.1"));
  const closing = server.close();
  socket.resume();
  await closing;
  expect(server.connections).toBe(0);
});
