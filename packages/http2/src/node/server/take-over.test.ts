import { once } from "node:events";
import { Agent, createServer, get, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { handOver, type TakeOverHooks, takeOver } from "./take-over.js";

/** Hooks that answer every connection with one word, and remember what was asked of them. */
class Hooks implements TakeOverHooks {
  readonly sockets: Socket[] = [];
  readonly calls: string[] = [];
  exchanges = 0;

  accept(socket: Socket): void {
    socket.on("error", () => {});
    this.sockets.push(socket);
    socket.write("ours");
  }

  closeIdle(): void {
    this.calls.push("closeIdle");
    for (const socket of this.sockets) socket.end();
  }

  closeAll(): void {
    this.calls.push("closeAll");
    for (const socket of this.sockets) socket.destroy();
  }

  active(): number {
    return this.exchanges;
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function openTo(port: number): Promise<Socket> {
  const client = connect(port, "127.0.0.1");
  client.on("error", () => {});
  await once(client, "data");
  return client;
}

test("connections go to the hooks, and to other listeners too", async () => {
  const server = createServer();
  const hooks = new Hooks();
  let others = 0;
  takeOver(server, hooks);
  server.on("connection", () => others++);
  const client = await openTo(await listening(server));
  expect([hooks.sockets.length, others]).toEqual([1, 1]);
  client.destroy();
  server.close();
});

test("connections that are handed over are served by Node", async () => {
  const server = createServer((req, res) => res.end(`node ${req.url}`));
  const hooks = new Hooks();
  hooks.accept = (socket) => handOver(server, socket);
  takeOver(server, hooks);
  const port = await listening(server);
  const agent = new Agent({ keepAlive: true });
  const [res] = (await once(get({ port, host: "127.0.0.1", path: "/a", agent }), "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of res) text += chunk;
  expect(text).toBe("node /a");
  const closed = once(server, "close");
  server.close();
  await closed;
  agent.destroy();
});

test("close() asks for idle connections to end, and waits for the rest", async () => {
  const server = createServer();
  const hooks = new Hooks();
  takeOver(server, hooks);
  const client = await openTo(await listening(server));
  let closed = false;
  const close = new Promise<void>((resolve, reject) =>
    server.close((error) => {
      closed = true;
      error ? reject(error) : resolve();
    }),
  );
  expect([hooks.calls, closed]).toEqual([["closeIdle"], false]);
  client.end();
  await close;
});

test("close() waits for exchanges that came from elsewhere", async () => {
  const server = createServer();
  const hooks = new Hooks();
  hooks.exchanges = 1;
  takeOver(server, hooks);
  await listening(server);
  const order: string[] = [];
  const close = new Promise<void>((resolve) =>
    server.close(() => {
      order.push("closed");
      resolve();
    }),
  );
  setTimeout(() => {
    order.push("last exchange");
    hooks.exchanges = 0;
  }, 30);
  await close;
  expect(order).toEqual(["last exchange", "closed"]);
});

test("close() of a server that doesn't listen waits too, and says that it didn't listen", async () => {
  const server = createServer();
  const hooks = new Hooks();
  hooks.exchanges = 1;
  takeOver(server, hooks);
  setTimeout(() => {
    hooks.exchanges = 0;
  }, 20);
  const error = await new Promise<Error | undefined>((resolve) => server.close(resolve));
  expect([(error as NodeJS.ErrnoException).code, hooks.exchanges]).toEqual(["ERR_SERVER_NOT_RUNNING", 0]);
});

test("closeAllConnections() reaches connections of both kinds", async () => {
  const server = createServer((_, res) => res.write("node"));
  const hooks = new Hooks();
  const own = hooks.accept.bind(hooks);
  let connections = 0;
  hooks.accept = (socket) => (++connections === 1 ? own(socket) : handOver(server, socket));
  takeOver(server, hooks);
  const port = await listening(server);
  const first = await openTo(port);
  const second = connect(port, "127.0.0.1");
  second.on("error", () => {});
  second.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  await once(second, "data");
  const gone = Promise.all([once(first, "close"), once(second, "close")]);
  server.closeAllConnections();
  await gone;
  expect(hooks.calls).toEqual(["closeAll"]);
  server.close();
});

test("a server can't be taken over twice, nor can one that does its own TLS", () => {
  const server = createServer();
  takeOver(server, new Hooks());
  expect(() => takeOver(server, new Hooks())).toThrow(/taken over before/);
  expect(() => takeOver(createHttpsServer() as unknown as Server, new Hooks())).toThrow(/http\.createServer/);
});

test("what else a server is stays", async () => {
  const server = createServer((_, res) => res.end());
  const listeners = server.listeners("request");
  takeOver(server, new Hooks());
  const port = await listening(server);
  expect([server.listeners("request"), server.listening, port > 0]).toEqual([listeners, true, true]);
  await server[Symbol.asyncDispose]();
  expect(server.listening).toBe(false);
});
