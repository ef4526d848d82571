import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Exchange, type HeaderList } from "../exchange.js";
import { transportError } from "../exchange-error.js";
import { bodyOf, type ConnectedClient, dial, listen, PushedBody, RawPeer, RecordingSink } from "../testing/h1-peers.js";
import type { Http1Options } from "./limits.js";

const opened: { close(): void }[] = [];

afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

/** A server written by hand: what comes is given to `answer` with its socket. */
async function rawServer(answer: (peer: RawPeer) => void): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    answer(new RawPeer(socket));
  });
  opened.push({
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  });
  return listen(server);
}

/** Answers each request, up to its empty line, with the next of `responses`. */
function scripted(...responses: string[]): Promise<number> {
  return rawServer((peer) => {
    let seen = 0;
    peer.socket.on("data", () => {
      const requests = peer.received.split("\r\n\r\n").length - 1;
      while (seen < requests && seen < responses.length) peer.send(responses[seen++] ?? "");
    });
  });
}

async function httpServer(listener: RequestListener): Promise<number> {
  const server: Server = createHttpServer(listener);
  opened.push({
    close() {
      server.close();
      server.closeAllConnections();
    },
  });
  return listen(server);
}

async function open(port: number, options: Http1Options = {}): Promise<ConnectedClient> {
  const client = await dial(port, options);
  opened.push({ close: () => client.connection.destroy() });
  return client;
}

function exchange(fields: Partial<Exchange> = {}): Exchange {
  return Object.assign(new Exchange(), { authority: "a.test", ...fields });
}

function send(client: ConnectedClient, x: Exchange): RecordingSink {
  const sink = new RecordingSink();
  client.connection.call(x, sink);
  return sink;
}

const read = (request: IncomingMessage): Promise<string> =>
  new Promise((resolve) => {
    let body = "";
    request.setEncoding("latin1");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => resolve(body));
  });

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const none = "HTTP/1.1 204 No Content\r\n\r\n";

/** What a server reads of one exchange, whose response is a 204. */
async function written(x: Exchange): Promise<string> {
  let peer: RawPeer | undefined;
  const port = await rawServer((accepted) => {
    peer = accepted;
    accepted.socket.on("data", () => {
      if (
        /\r\n\r\n$/.test(accepted.received) &&
        (x.body === null || x.body.length >= 0 || accepted.received.endsWith("0\r\n\r\n"))
      ) {
        accepted.send(none);
      }
    });
  });
  const client = await open(port);
  const sink = send(client, x);
  if (sink.error !== null) return `${sink.error.code} ${sink.error.origin} ${sink.error.progress}`;
  await peer?.until((text) => text.includes("\r\n\r\n"));
  await Promise.race([sink.done, turn()]);
  while (peer === undefined || !peer.received.includes("\r\n\r\n")) await turn();
  return peer.received;
}

describe("a request", () => {
  test.each<[string, Partial<Exchange>, string]>([
    ["in origin form", { path: "/x?y" }, "GET /x?y HTTP/1.1\r\nHost: a.test\r\n\r\n"],
    ["with the host of its headers", { headers: ["a", "1", "host", "b"] }, "GET / HTTP/1.1\r\nHost: b\r\nA: 1\r\n\r\n"],
    [
      "in absolute form",
      { absoluteForm: true, path: "/x", headers: ["host", "b"] },
      "GET http://a.test/x HTTP/1.1\r\nHost: b\r\n\r\n",
    ],
    ["for the server itself", { method: "OPTIONS", path: "*" }, "OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n"],
    [
      "for the server itself, in absolute form",
      { method: "OPTIONS", path: "*", absoluteForm: true },
      "OPTIONS http://a.test HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ],
    [
      "in HTTP/1.0, without a Host of ours",
      { version: "1.0", authority: "" },
      "GET / HTTP/1.0\r\nConnection: close\r\n\r\n",
    ],
    [
      "with names as they were spelled",
      { headers: ["x-a", "1", "x-b", "2"], headerCase: new Map([["x-a", "x-A"]]) },
      "GET / HTTP/1.1\r\nHost: a.test\r\nx-A: 1\r\nX-B: 2\r\n\r\n",
    ],
    [
      "without hop-by-hop fields",
      {
        headers: [
          "connection",
          "x",
          "keep-alive",
          "1",
          "transfer-encoding",
          "gzip",
          "upgrade",
          "h2c",
          "proxy-connection",
          "1",
        ],
      },
      "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ],
    [
      "with te",
      { headers: ["te", "trailers"] },
      "GET / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
    ],
    [
      "with the cookies of HTTP/2 in one field",
      { version: "2.0", headers: ["cookie", "a=1", "x", "1", "cookie", "b=2"] },
      "GET / HTTP/1.1\r\nHost: a.test\r\nX: 1\r\nCookie: a=1; b=2\r\n\r\n",
    ],
    [
      "with no body where there could be one",
      { method: "POST" },
      "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
    ],
    ["to HTTP/2's authority", { version: "2.0" }, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"],
  ])("%s", async (_, fields, expected) => {
    expect(await written(exchange(fields))).toBe(expected);
  });

  test.each<[string, Partial<Exchange>]>([
    ["a line end in the path", { path: "/ HTTP/1.1\r\nX: y" }],
    ["a space in the path", { path: "/a b" }],
    ["a path without a slash", { path: "x" }],
    ["an empty path", { path: "" }],
    ["a fragment", { path: "/#x" }],
    ["octets beyond ASCII in the path", { path: "/\u00e9" }],
    ["a line end in the method", { method: "GET / HTTP/1.1\r\nX: y" }],
    ["an empty method", { method: "" }],
    ["a line end in the authority", { authority: "a\r\nX: y" }],
    ["userinfo in the authority", { authority: "u@a" }],
    ["no authority", { authority: "" }],
    ["a line end in a value", { headers: ["a", "b\r\nc: d"] }],
    ["a character whose low octet is a line feed", { headers: ["a", "b\u010ac: d"] }],
    ["NUL in a value", { headers: ["a", "\0"] }],
    ["a line end in a name", { headers: ["a: b\r\nc", "d"] }],
    ["a line end in host", { headers: ["host", "a\r\nb: c"] }],
    ["an empty host", { headers: ["host", ""] }],
    ["two hosts", { headers: ["host", "a", "host", "a"] }],
    ["a line end in te", { headers: ["te", "trailers\r\na: b"], path: "bad" }],
    [
      "a line end in upgrade",
      { tunnel: true, body: new PushedBody(), headers: ["upgrade", "a\r\nb: c", "connection", "Upgrade"] },
    ],
    ["a tunnel without upgrade", { tunnel: true, body: new PushedBody() }],
    ["CONNECT without a port", { method: "CONNECT", path: "", tunnel: true, body: new PushedBody() }],
    ["CONNECT that asks for no tunnel", { method: "CONNECT", path: "", authority: "a:1" }],
    ["two content-lengths", { headers: ["content-length", "1", "content-length", "1"], body: new PushedBody(1) }],
    ["a content-length that isn't the body's", { headers: ["content-length", "1"], body: new PushedBody(2) }],
    ["a content-length without a body", { headers: ["content-length", "1"] }],
    ["an HTTP/1.0 body without a length", { version: "1.0", body: new PushedBody() }],
  ])("with %s is refused as the caller's doing, unsent", async (_, fields) => {
    const port = await rawServer((peer) => {
      peer.socket.on("data", () => peer.send(none));
    });
    const client = await open(port);
    const bad = send(client, exchange(fields));
    expect(bad.error).toMatchObject({ code: "SELVAGE_ERR_MALFORMED", origin: "caller", progress: "unsent" });
    expect(client.events).toEqual(["idle"]);
    expect((await send(client, exchange()).done).status).toBe(204);
  });

  test("while another is in progress, or after the close, is refused unsent", async () => {
    const client = await open(await rawServer(() => {}));
    send(client, exchange());
    expect(client.connection.busy).toBe(true);
    expect(send(client, exchange()).error).toMatchObject({ code: "SELVAGE_ERR_REFUSED", progress: "unsent" });
    client.connection.destroy();
    expect(client.connection.closed).toBe(true);
    expect(send(client, exchange()).error).toMatchObject({ code: "SELVAGE_ERR_REFUSED", progress: "unsent" });
  });
});

describe("with node:http as the server", () => {
  test("one connection carries many exchanges, with bodies of both framings and trailers", async () => {
    const connections = new Set<Socket>();
    const port = await httpServer(async (request, response) => {
      connections.add(request.socket);
      const body = await read(request);
      response.setHeader("Trailer", "x-sum");
      response.write(`${request.method} ${body.length} ${request.trailers["x-t"] ?? "-"}`);
      response.addTrailers({ "x-sum": "1" });
      response.end();
    });
    const client = await open(port);
    for (let i = 0; i < 20; i++) {
      const text = "x".repeat(i * 5000);
      const fields =
        i % 3 === 0
          ? {}
          : i % 3 === 1
            ? { method: "PUT", body: bodyOf(text, text.length), headers: ["content-length", String(text.length)] }
            : { method: "PUT", body: bodyOf([text, "y"], -1, ["x-t", "t"]) };
      const x = exchange(fields);
      const sink = await send(client, x).done;
      const expected = i % 3 === 0 ? "GET 0 -" : i % 3 === 1 ? `PUT ${text.length} -` : `PUT ${text.length + 1} t`;
      expect([sink.status, sink.body, sink.trailers]).toEqual([200, expected, ["x-sum", "1"]]);
      expect([x.responseVersion, x.responseHeaderCase?.get("trailer")]).toEqual(["1.1", "Trailer"]);
    }
    expect(connections.size).toBe(1);
    expect([client.connection.served, client.connection.reused, client.connection.busy]).toEqual([20, true, false]);
  });

  test("a large body waits for a server that doesn't read, and arrives", async () => {
    let start = () => {};
    const port = await httpServer((request, response) => {
      request.pause();
      start = () => {
        read(request).then((body) => response.end(String(body.length)));
        request.resume();
      };
    });
    const client = await open(port);
    const body = new PushedBody();
    let left = 512;
    const push = () => {
      while (left > 0 && !body.paused) {
        left--;
        body.sink?.onData(Buffer.alloc(65_536));
      }
      if (left === 0) {
        left--;
        body.sink?.onEnd(null);
      }
    };
    body.onPipe = push;
    body.onResume = push;
    const sink = send(client, exchange({ method: "POST", body }));
    for (let i = 0; i < 100; i++) await turn();
    expect(left).toBeGreaterThan(100);
    start();
    expect((await sink.done).body).toBe(String(512 * 65_536));
  });

  test("a paused flow stops a large response", async () => {
    const size = 32 << 20;
    const port = await httpServer((_, response) => response.end(Buffer.alloc(size)));
    const client = await open(port);
    const x = exchange();
    const sink = new RecordingSink();
    sink.onHeadCalled = () => x.flow.pause();
    client.connection.call(x, sink);
    while (sink.status === 0) await turn();
    for (let i = 0; i < 100; i++) await turn();
    expect(sink.body.length).toBeLessThan(1 << 20);
    x.flow.resume();
    await sink.done;
    expect(Buffer.concat(sink.chunks).length).toBe(size);
    expect(client.events).toEqual(["idle"]);
  });

  test("expect: 100-continue holds the body back until the server wants it", async () => {
    const port = await httpServer((_, response) => response.end());
    const server = createHttpServer();
    opened.push({ close: () => server.close() });
    let wanted = false;
    server.on("checkContinue", (request: IncomingMessage, response) => {
      wanted = true;
      response.writeContinue();
      read(request).then((body) => response.end(body));
    });
    const client = await open(await listen(server));
    const body = bodyOf("hi", 2);
    let sentBefore = false;
    const push = body.onPipe;
    body.onPipe = (sink) => {
      sentBefore = !wanted;
      push(sink);
    };
    const headers: HeaderList = ["content-length", "2", "expect", "100-continue"];
    const sink = await send(client, exchange({ method: "POST", body, headers })).done;
    expect([sink.body, sentBefore, sink.informational]).toEqual(["hi", false, [[100, []]]]);
    expect(port).toBeGreaterThan(0);
  });
});

describe("a body that waits for 100", () => {
  const headers: HeaderList = ["content-length", "2", "expect", "100-continue"];

  test("is sent after a while when nothing comes", async () => {
    let now = 0;
    const passing = setInterval(() => {
      now += 400;
    }, 20);
    opened.push({ close: () => clearInterval(passing) });
    const port = await rawServer((peer) => {
      peer.until((text) => text.endsWith("hi")).then(() => peer.send(none));
    });
    const client = await open(port, { now: () => now });
    const sink = await send(client, exchange({ method: "POST", body: bodyOf("hi", 2), headers })).done;
    expect(sink.status).toBe(204);
  });

  test("isn't sent after a refusal, and the connection isn't used again", async () => {
    const client = await open(await scripted("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"));
    const body = bodyOf("hi", 2);
    const sink = await send(client, exchange({ method: "POST", body, headers })).done;
    expect([sink.status, body.sink, client.events]).toEqual([417, null, ["closed"]]);
  });
});

describe("a response", () => {
  test.each<[string, string, string, Partial<Exchange>, Partial<RecordingSink>, readonly string[]]>([
    ["with a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "", {}, { status: 200, body: "hi" }, ["idle"]],
    [
      "that is chunked",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n",
      "",
      {},
      { body: "hi", trailers: ["a", "b"] },
      ["idle"],
    ],
    [
      "to HEAD",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
      "",
      { method: "HEAD" },
      { status: 200, body: "", headers: ["content-length", "2"] },
      ["idle"],
    ],
    [
      "without a body by its status",
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
      "",
      {},
      { status: 304, body: "" },
      ["idle"],
    ],
    [
      "with Connection: close",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
      "",
      {},
      { body: "hi", headers: ["content-length", "2"] },
      ["closed"],
    ],
    ["of HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "", {}, { body: "hi" }, ["closed"]],
    [
      "of HTTP/1.0 with keep-alive",
      "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
      "",
      {},
      { body: "hi" },
      ["idle"],
    ],
    [
      "to HTTP/1.0",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
      "",
      { version: "1.0" },
      { body: "hi" },
      ["closed"],
    ],
    [
      "with 204 and a length",
      "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
      "",
      {},
      { status: 204, body: "" },
      ["closed"],
    ],
    [
      "after informational ones",
      "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
      "",
      {},
      { status: 200, informational: [[103, ["link", "a"]]] },
      ["idle"],
    ],
    ["with bytes after it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi!", "", {}, { body: "hi" }, ["closed"]],
  ])("%s", async (_, response, __, fields, expected, events) => {
    const client = await open(await scripted(response));
    const sink = send(client, exchange(fields));
    await sink.done;
    expect({ ...sink, body: sink.body }).toMatchObject(expected);
    expect([sink.terminalCalls, client.events]).toEqual([1, events]);
  });

  test("without a length ends with the connection", async () => {
    const port = await rawServer((peer) => {
      peer.socket.on("data", () => peer.socket.end("HTTP/1.1 200 OK\r\n\r\nhi"));
    });
    const client = await open(port);
    const sink = await send(client, exchange()).done;
    expect([sink.body, sink.error, client.events]).toEqual(["hi", null, ["closed"]]);
  });

  test.each<[string, string, string]>([
    [
      "two lengths",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
      "h1-content-length-repeated",
    ],
    [
      "length and encoding",
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
      "h1-content-length-and-transfer-encoding",
    ],
    ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "h1-line-ending"],
    ["a bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "h1-chunk-size"],
    [
      "an upgrade that nobody asked for",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
      "h1-unasked-upgrade",
    ],
    ["endless informational heads", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40), "h1-informational-flood"],
  ])("with %s fails, and so does the connection", async (_, response, reason) => {
    const client = await open(await scripted(response));
    const sink = await send(client, exchange()).done;
    expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_PROTOCOL", origin: "peer", progress: "processed" });
    expect([client.protections, client.events]).toEqual([[reason], ["closed SELVAGE_ERR_PROTOCOL"]]);
  });

  test.each<[string, string]>([
    ["no byte", ""],
    ["half a head", "HTTP/1.1 200 OK\r\nConte"],
    ["half a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"],
    ["half a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"],
    ["no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"],
  ])("that ends after %s fails", async (_, response) => {
    const port = await rawServer((peer) => {
      peer.socket.once("data", () => peer.socket.end(response));
    });
    const client = await open(port);
    const sink = await send(client, exchange()).done;
    expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "processed" });
    expect([sink.terminalCalls, client.events]).toEqual([1, ["closed SELVAGE_ERR_CLOSED"]]);
  });

  test("that comes before the whole request ends the connection, and the body is told", async () => {
    const client = await open(await scripted("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"));
    const body = new PushedBody();
    const sink = await send(client, exchange({ method: "POST", body })).done;
    expect([sink.status, body.cancelled, client.events]).toEqual([413, true, ["closed"]]);
  });

  test("whose head doesn't end is given up", async () => {
    let now = 0;
    const passing = setInterval(() => {
      now += 400;
    }, 20);
    opened.push({ close: () => clearInterval(passing) });
    const client = await open(await scripted("HTTP/1.1 200 OK\r\nA"), { now: () => now, headTimeoutMs: 1000 });
    expect((await send(client, exchange()).done).error?.code).toBe("SELVAGE_ERR_TIMEOUT");
  });
});

describe("a body", () => {
  test.each<[string, string[], number]>([
    ["less", ["a"], 2],
    ["more", ["a", "bc"], 2],
  ])("with %s data than declared fails the exchange and the connection", async (_, pieces, length) => {
    const client = await open(await rawServer(() => {}));
    const headers = ["content-length", String(length)];
    const sink = await send(client, exchange({ method: "POST", headers, body: bodyOf(pieces, length) })).done;
    expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_MALFORMED", origin: "caller" });
    expect(client.events).toEqual(["closed"]);
  });

  test("with a bad trailer fails the exchange, and is never seen to end", async () => {
    let peer: RawPeer | undefined;
    const port = await rawServer((accepted) => {
      peer = accepted;
    });
    const client = await open(port);
    const body = new PushedBody();
    const sink = send(client, exchange({ method: "POST", body }));
    body.sink?.onData(Buffer.from("hi"));
    while (peer === undefined || !peer.received.includes("hi")) await turn();
    body.sink?.onEnd(["a", "b\r\nc"]);
    await peer.toEnd();
    expect([sink.error?.code, peer.received.includes("0\r\n\r\n")]).toEqual(["SELVAGE_ERR_MALFORMED", false]);
  });
});

describe("a connection", () => {
  test("that hears something while idle is destroyed, so that it isn't taken for the next response", async () => {
    const poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    const port = await rawServer((peer) => {
      peer.socket.once("data", () => {
        peer.send(none);
        setImmediate(() => setImmediate(() => peer.send(poison)));
      });
    });
    const client = await open(port);
    await send(client, exchange()).done;
    await client.gone();
    expect([client.events, client.protections]).toEqual([
      ["idle", "closed SELVAGE_ERR_PROTOCOL"],
      ["h1-unsolicited-response"],
    ]);
    expect(send(client, exchange()).error?.progress).toBe("unsent");
  });

  test("that dies before anything was flushed leaves the request unsent", async () => {
    const client = await open(await rawServer(() => {}));
    const sink = send(client, exchange());
    client.connection.destroy();
    expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "unsent" });
  });

  test("that dies after its reuse, without an answer, says that it was reused", async () => {
    let requests = 0;
    const port = await rawServer((peer) => {
      peer.socket.on("data", () => {
        if (requests++ === 0) peer.send(none);
        else peer.socket.resetAndDestroy();
      });
    });
    const client = await open(port);
    await send(client, exchange()).done;
    expect(client.connection.reused).toBe(false);
    const sink = await send(client, exchange()).done;
    expect([sink.error?.code, sink.error?.progress, client.connection.reused]).toEqual([
      "SELVAGE_ERR_CLOSED",
      "processed",
      true,
    ]);
  });

  test("closes when an exchange is aborted, whose sink gets the reason at once and once", async () => {
    const client = await open(await scripted("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi"));
    const x = exchange();
    const sink = send(client, x);
    while (sink.status === 0) await turn();
    const reason = transportError("SELVAGE_ERR_ABORTED", "x", "caller");
    x.flow.abort(reason);
    x.flow.abort(reason);
    expect([sink.error, sink.terminalCalls, client.events]).toEqual([reason, 1, ["closed"]]);
  });

  test("isn't touched by the flow of an exchange that is over", async () => {
    const client = await open(await scripted(none, none));
    const first = exchange();
    await send(client, first).done;
    const second = send(client, exchange());
    first.flow.abort(transportError("SELVAGE_ERR_ABORTED", "x", "caller"));
    first.flow.pause();
    expect((await second.done).status).toBe(204);
  });

  test("can be called within onIdle, and delivers both ends", async () => {
    const port = await scripted(none, none);
    const second = new RecordingSink();
    let called = false;
    const client = await dial(
      port,
      {},
      {
        onIdle(c) {
          if (called) return;
          called = true;
          c.call(exchange(), second);
        },
      },
    );
    opened.push({ close: () => client.connection.destroy() });
    const first = send(client, exchange());
    expect([(await first.done).status, (await second.done).status]).toEqual([204, 204]);
    expect(client.connection.served).toBe(2);
  });

  test("that is idle closes when the server does, without an error", async () => {
    const port = await rawServer((peer) => {
      peer.socket.once("data", () => {
        peer.send(none);
        peer.socket.end();
      });
    });
    const client = await open(port);
    await send(client, exchange()).done;
    await client.gone();
    expect(client.events.at(-1)).toBe("closed");
  });

  test("drains: at once when idle, after its exchange when busy", async () => {
    const idle = await open(await rawServer(() => {}));
    idle.connection.drain();
    expect(idle.events).toEqual(["closed"]);
    const busy = await open(await scripted(none));
    const sink = send(busy, exchange());
    busy.connection.drain();
    expect([busy.events, busy.connection.closed]).toEqual([[], true]);
    expect([(await sink.done).status, busy.events]).toEqual([204, ["closed"]]);
  });

  test("that is idle for too long closes", async () => {
    let now = 0;
    const client = await open(await rawServer(() => {}), { now: () => (now += 600), idleTimeoutMs: 1000 });
    await client.gone();
    expect(client.events).toEqual(["closed"]);
  });
});
