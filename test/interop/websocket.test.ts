import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type Mesh, peerOf } from "@selvage/core";
import { installGlobalDispatcher } from "@selvage/http2/node";
import { startShim } from "@selvage/proxy-shim";
import { WebSocket as UndiciWebSocket } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { bytesOf, digest } from "./bytes.js";
import { callerId, listen, Meshes, servicesAt } from "./meshes.js";

// ws brings no types.
type Socket = typeof WebSocket;

const meshes = new Meshes();
const directory = { stateDir: meshes.stateDir, admin: false } as const;
const caller = { workload: { name: "caller", namespace: "test" } };
let mesh: Mesh;
let shimPort = 0;

/** Says who is there, then sends back what it gets. `/closed` is refused, `/bye` is closed at once. */
function chat(server: Server): Server {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: { threshold: 0 } });
  server.on("upgrade", (req, socket, head) => {
    socket.on("error", () => {});
    if (req.url === "/closed") {
      socket.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 6\r\nConnection: close\r\n\r\nno way");
      return;
    }
    sockets.handleUpgrade(req, socket, head, (ws: Socket) => {
      if (req.url === "/bye") return ws.close(4001, "bye");
      ws.on("error", () => {});
      ws.on("message", (data: Buffer, binary: boolean) => ws.send(data, { binary }));
      ws.send(JSON.stringify({ peer: peerOf(req)?.toString() ?? req.headers["l5d-client-id"] ?? null, url: req.url }));
    });
  });
  return server;
}

const answer = (_req: unknown, res: { end(text: string): void }) => res.end("over HTTP");

beforeAll(async () => {
  const inside = await listen(chat((await meshes.server()).createServer(answer)));
  const plain = createServer(answer);
  const app = await listen(chat(plain));
  meshes.onStop(async () => {
    plain.close();
    plain.closeAllConnections();
  });
  const serving = await startShim({
    announce: false,
    options: {
      ...directory,
      workload: { name: "server", namespace: "test" },
      inbound: { host: "127.0.0.1", port: 0, app: `127.0.0.1:${app}` },
      outbound: { port: 0 },
      drain: { timeout: "100ms" },
    },
  });
  meshes.onStop(() => serving.close());
  const ports = { "chat.test": inside, "shimmed.test": serving.inboundAddress?.port ?? 0 };
  const calling = await startShim({
    inbound: false,
    options: {
      ...directory,
      ...caller,
      outbound: { port: 0, services: servicesAt(ports) },
      drain: { timeout: "100ms" },
    },
  });
  meshes.onStop(() => calling.close());
  shimPort = Number(new URL(calling.outboundUrl).port);
  mesh = await meshes.caller(ports);
});
afterAll(() => meshes.stop());

/** ws as it is used: through an agent, or straight to the shim, which knows the service by Host. */
const ways: readonly (readonly [string, (authority: string, path: string) => Socket])[] = [
  ["an agent", (authority, path) => new WebSocket(`ws://${authority}${path}`, { agent: mesh.agent })],
  ["an agent, wss", (authority, path) => new WebSocket(`wss://${authority}${path}`, { agent: mesh.httpsAgent })],
  [
    "the shim",
    (authority, path) => new WebSocket(`ws://127.0.0.1:${shimPort}${path}`, { headers: { host: authority } }),
  ],
];

describe.each(["chat.test", "shimmed.test"])("ws to %s", (authority) => {
  describe.each(ways)("through %s", (_name, open) => {
    test("says who is there, and carries text and binary both ways", async () => {
      const socket = open(authority, "/chat?room=1");
      const [greeting] = await once(socket, "message");
      expect(JSON.parse(`${greeting}`)).toEqual({ peer: callerId, url: "/chat?room=1" });
      expect(socket.extensions).toBe("permessage-deflate");
      socket.send("grüße");
      const [text, textIsBinary] = await once(socket, "message");
      expect([`${text}`, textIsBinary]).toEqual(["grüße", false]);
      const bytes = bytesOf(1_048_576);
      socket.send(bytes);
      const [binary] = await once(socket, "message");
      expect(await digest(binary)).toEqual(await digest(bytes));
      socket.ping("still there?");
      const [pong] = await once(socket, "pong");
      expect(`${pong}`).toBe("still there?");
      socket.close(1000);
      expect((await once(socket, "close"))[0]).toBe(1000);
    });

    test("hears why it was closed", async () => {
      const [code, reason] = await once(open(authority, "/bye"), "close");
      expect([code, `${reason}`]).toEqual([4001, "bye"]);
    });

    test("hears of a refusal as an answer", async () => {
      const socket = open(authority, "/closed");
      socket.on("error", () => {});
      const [request, response] = await once(socket, "unexpected-response");
      expect(response.statusCode).toBe(401);
      request.destroy();
    });
  });
});

describe("other clients", () => {
  async function greetingOf(socket: EventTarget & { close(): void }): Promise<unknown> {
    const data = await new Promise<string>((resolve, reject) => {
      socket.addEventListener("message", (event) => resolve((event as Event & { data: string }).data));
      socket.addEventListener("error", () => reject(new Error("the WebSocket failed")));
    });
    const closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.close();
    await closed;
    return JSON.parse(data);
  }

  test("undici's WebSocket through the dispatcher", async () => {
    const socket = new UndiciWebSocket("ws://chat.test/undici", { dispatcher: mesh.dispatcher } as never);
    expect(await greetingOf(socket as never)).toEqual({ peer: callerId, url: "/undici" });
  });

  test("Node's own WebSocket through the global dispatcher", async ({ skip }) => {
    const Own = (globalThis as { WebSocket?: new (url: string) => EventTarget & { close(): void } }).WebSocket;
    if (Own === undefined) return skip(`Node ${process.version} has none`);
    const restore = installGlobalDispatcher(mesh.dispatcher);
    try {
      expect(await greetingOf(new Own("ws://chat.test/own"))).toEqual({ peer: callerId, url: "/own" });
    } finally {
      restore();
    }
  });
});

describe("a plain client", () => {
  test("without an identity is refused by the default policy", async () => {
    const server = await meshes.server({ inbound: {} });
    const port = await listen(chat(server.createServer(answer)));
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    socket.on("error", () => {});
    const [request, response] = await once(socket, "unexpected-response");
    expect(response.statusCode).toBe(403);
    request.destroy();
  });
});

describe("the end of a mesh", () => {
  test("ends the sockets that are open, after the time for draining", async () => {
    const server = await meshes.server();
    const port = await listen(chat(server.createServer(answer)));
    const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
    await once(socket, "message");
    const closed = once(socket, "close");
    await server.close();
    expect((await closed)[0]).toBe(1006);
  });
});
