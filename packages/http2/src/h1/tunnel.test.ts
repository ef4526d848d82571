import { createServer, type IncomingMessage, request } from "node:http";
import { createServer as createNetServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type BodySink, Exchange, type HeaderList } from "../exchange.js";
import { transportError } from "../exchange-error.js";
import {
  dial,
  listen,
  PushedBody,
  RawPeer,
  RecordingBodySink,
  RecordingSink,
  serve,
  serviceOf,
} from "../testing/h1-peers.js";

const opened: { close(): void }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Answers 101 or 200, and gives back in capitals what comes. */
const capitals = serviceOf((x, sink) => {
  if (!x.tunnel) {
    sink.onHead(400, ["content-length", "0"]);
    sink.onEnd(null);
    return;
  }
  sink.onHead(
    x.method === "CONNECT" ? 200 : 101,
    x.method === "CONNECT" ? ["content-length", "3"] : ["upgrade", "chat"],
  );
  x.body?.pipe({
    onData: (chunk) => sink.onData(Buffer.from(Buffer.from(chunk).toString().toUpperCase())),
    onEnd: () => {
      sink.onData(Buffer.from("."));
      sink.onEnd(null);
    },
  });
});

async function start(service = capitals) {
  const port = await serve(service);
  opened.push(port);
  return port;
}

const upgrade = (fields = "") => `GET /c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n${fields}\r\n`;

describe("the server side of a tunnel", () => {
  test("switches with 101, takes bytes that came with the head, and respects a half-close", async () => {
    const port = await start();
    const peer = await RawPeer.open(port.port);
    peer.send(`${upgrade()}early`);
    await peer.until((text) => text.includes("EARLY"));
    peer.socket.end("late");
    expect(await peer.toEnd()).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nEARLYLATE.",
    );
  });

  test("switches after CONNECT with 200, without a length", async () => {
    const port = await start();
    const peer = await RawPeer.open(port.port);
    peer.socket.end("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nhi");
    expect(await peer.toEnd()).toBe("HTTP/1.1 200 OK\r\n\r\nHI.");
  });

  test("works with node:http's upgrade", async () => {
    const port = await start();
    const text = await new Promise<string>((resolve) => {
      const asked = request({ port: port.port, headers: { connection: "Upgrade", upgrade: "chat" } });
      asked.on("upgrade", (_: IncomingMessage, socket: Socket) => {
        let received = "";
        socket.on("data", (chunk) => {
          received += chunk;
        });
        socket.on("end", () => resolve(received));
        socket.end("hi");
      });
      asked.end();
    });
    expect(text).toBe("HI.");
  });

  test("has connection and upgrade in its headers, and nothing else that Connection names", async () => {
    const seen: Exchange[] = [];
    const port = await start(
      serviceOf((x, sink) => {
        seen.push(x);
        sink.onHead(404, ["content-length", "0"]);
        sink.onEnd(null);
      }),
    );
    const peer = await RawPeer.open(port.port);
    const text =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, upgrade\r\nX: 1\r\nUpgrade: h2c, chat\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    expect(await peer.send(text).toEnd()).toBe(
      "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    expect(seen.map((x) => [x.tunnel, x.headers])).toEqual([
      [true, ["host", "a", "connection", "Upgrade", "upgrade", "chat"]],
    ]);
  });

  test.each<[string, string]>([
    ["h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"],
    ["an upgrade that Connection doesn't name", "Upgrade: chat\r\n"],
    ["an upgrade with a body", "Connection: Upgrade\r\nUpgrade: chat\r\nContent-Length: 2\r\n"],
  ])("is not made for %s, and the request is read as any other", async (_, fields) => {
    const seen: (readonly [boolean, HeaderList])[] = [];
    const port = await start(
      serviceOf((x, sink) => {
        seen.push([x.tunnel, x.headers]);
        const answer = () => {
          sink.onHead(204, []);
          sink.onEnd(null);
        };
        if (x.body === null) answer();
        else x.body.pipe(new RecordingBodySink(answer));
      }),
    );
    const peer = await RawPeer.open(port.port);
    const body = fields.includes("Length") ? "hi" : "";
    await peer.send(`GET / HTTP/1.1\r\nHost: a\r\n${fields}\r\n${body}`).until((text) => text.includes("204"));
    expect(seen).toEqual([[false, body === "" ? ["host", "a"] : ["host", "a", "content-length", "2"]]]);
    expect(peer.received).not.toContain("close");
  });

  test("holds back what comes before the head is answered", async () => {
    let body: Exchange["body"] = null;
    let answer = () => {};
    const received = new RecordingBodySink();
    const port = await start(
      serviceOf((x, sink) => {
        body = x.body;
        answer = () => {
          sink.onHead(101, ["upgrade", "chat"]);
          x.body?.pipe(received);
        };
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.send(upgrade());
    peer.socket.write(Buffer.alloc(16 << 20));
    while (body === null) await turn();
    for (let i = 0; i < 50; i++) await turn();
    expect(peer.socket.writableLength).toBeGreaterThan(0);
    answer();
    peer.socket.end();
    while (!received.ended) await turn();
    expect(Buffer.concat(received.chunks).length).toBe(16 << 20);
  });

  test("whose client vanishes aborts, also after the response's direction ended", async () => {
    let outcome = "";
    const port = await start(
      serviceOf((x, sink) => {
        sink.onHead(101, ["upgrade", "chat"]);
        sink.onEnd(null);
        x.body?.pipe({
          onData() {},
          onEnd() {
            outcome = "ended";
          },
        });
      }),
    );
    const peer = await RawPeer.open(port.port);
    await peer.send(upgrade()).toEnd();
    expect(outcome).toBe("");
    peer.socket.resetAndDestroy();
    while (outcome === "") await turn();
    expect(outcome).toBe("ended");
  });
});

describe("the client side of a tunnel", () => {
  async function open(port: number) {
    const client = await dial(port);
    opened.push({ close: () => client.connection.destroy() });
    return client;
  }

  function tunnel(fields: Partial<Exchange> = {}): { x: Exchange; body: PushedBody; sink: RecordingSink } {
    const body = new PushedBody();
    const headers = ["connection", "Upgrade", "upgrade", "chat"];
    const x = Object.assign(new Exchange(), { authority: "a:1", tunnel: true, headers, body }, fields);
    return { x, body, sink: new RecordingSink() };
  }

  const piped = async (body: PushedBody): Promise<BodySink> => {
    while (body.sink === null) await turn();
    return body.sink;
  };

  test("goes through node:http's upgrade, both directions, each with its own end", async () => {
    const server = createServer();
    server.on("upgrade", (request: IncomingMessage, socket: Socket) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\nhello`,
      );
      socket.on("data", (chunk) => socket.write(String(chunk).toUpperCase()));
      socket.on("end", () => socket.end("."));
    });
    opened.push({ close: () => server.close() });
    const client = await open(await listen(server));
    const { x, body, sink } = tunnel();
    client.connection.call(x, sink);
    expect(body.sink).toBe(null);
    const out = await piped(body);
    out.onData(Buffer.from("hi"));
    while (!sink.body.includes("HI")) await turn();
    out.onEnd(null);
    await sink.done;
    expect([sink.status, sink.headers, sink.body]).toEqual([
      101,
      ["connection", "Upgrade", "upgrade", "chat"],
      "helloHI.",
    ]);
    await client.gone();
    expect(client.events).toEqual(["closed"]);
  });

  test("goes through CONNECT, and outlives the server's end", async () => {
    let received = "";
    const server = createNetServer({ allowHalfOpen: true }, (socket) => {
      socket.once("data", (head) => {
        received = String(head);
        socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nbye");
        socket.on("data", (chunk) => {
          received += chunk;
        });
        socket.on("error", () => {});
      });
    });
    opened.push({ close: () => server.close() });
    const client = await open(await listen(server));
    const { x, body, sink } = tunnel({ method: "CONNECT", path: "", headers: [] });
    client.connection.call(x, sink);
    await sink.done;
    expect([sink.status, sink.headers, sink.body, client.events]).toEqual([200, [], "bye", []]);
    const out = await piped(body);
    out.onData(Buffer.from("still here"));
    out.onEnd(null);
    while (!received.includes("still here")) await turn();
    expect(received).toBe("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nstill here");
    await client.gone();
    expect(client.events).toEqual(["closed"]);
  });

  test("that is half over ends when it is aborted", async () => {
    const server = createNetServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      socket.once("data", () =>
        socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\n"),
      );
    });
    opened.push({ close: () => server.close() });
    const client = await open(await listen(server));
    const { x, body, sink } = tunnel();
    client.connection.call(x, sink);
    await sink.done;
    x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "x", "caller"));
    expect([sink.error, sink.terminalCalls, body.cancelled, client.events]).toEqual([null, 1, true, ["closed"]]);
  });

  test("that is refused is an ordinary response, and the connection isn't used again", async () => {
    const server = createServer((_, response) => response.end("no"));
    opened.push({ close: () => server.close() });
    const client = await open(await listen(server));
    const { x, body, sink } = tunnel();
    client.connection.call(x, sink);
    await sink.done;
    expect([sink.status, sink.body, body.sink, client.events]).toEqual([200, "no", null, ["closed"]]);
  });
});

describe("a tunnel through both", () => {
  test("carries bytes both ways, with back pressure", async () => {
    const far = await start();
    const port = await start(
      serviceOf((x, sink) => {
        dial(far.port).then((client) => client.connection.call(x, sink));
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.send(upgrade());
    await peer.until((text) => text.includes("101"));
    const size = 4 << 20;
    peer.socket.end(Buffer.alloc(size, "x"));
    const text = await peer.toEnd();
    expect(text.length - text.indexOf("\r\n\r\n") - 4).toBe(size + 1);
    expect(text.endsWith("X.")).toBe(true);
  });
});
