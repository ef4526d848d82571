import { request } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import type { Exchange, HeaderList, Service, Sink } from "../exchange.js";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { echo, RawPeer, RecordingBodySink, type ServedPort, serve, serviceOf } from "../testing/h1-peers.js";

const opened: ServedPort[] = [];

async function start(service: Service, options: Parameters<typeof serve>[1] = {}): Promise<ServedPort> {
  const port = await serve(service, options);
  opened.push(port);
  return port;
}

afterEach(() => {
  for (const port of opened.splice(0)) port.close();
});

/** Sends, and returns what came until the server ended. */
async function talk(port: ServedPort, text: string): Promise<string> {
  const peer = await RawPeer.open(port.port);
  const received = await peer.send(text).toEnd();
  peer.socket.destroy();
  return received;
}

const respond = (status: number, headers: HeaderList, body = "", trailers: HeaderList | null = null): Service =>
  serviceOf((_, sink) => {
    sink.onHead(status, headers);
    if (body !== "") sink.onData(Buffer.from(body));
    sink.onEnd(trailers);
  });

const get = (path: string, fields = "") => `GET ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
const last = "Connection: close\r\n";

async function closed(port: ServedPort): Promise<void> {
  while (port.closedCount() === 0) await new Promise((resolve) => setImmediate(resolve));
}

/** A service that keeps what it is called with. */
class HeldService implements Service {
  readonly calls: { x: Exchange; sink: Sink; aborted: ExchangeError | null; paused: number; resumed: number }[] = [];
  onCall: () => void = () => {};

  call(x: Exchange, sink: Sink): void {
    const call = { x, sink, aborted: null as ExchangeError | null, paused: 0, resumed: 0 };
    x.flow = {
      abort(reason) {
        if (call.aborted !== null) return;
        call.aborted = reason;
        sink.onError(reason);
      },
      pause() {
        call.paused++;
      },
      resume() {
        call.resumed++;
      },
    };
    this.calls.push(call);
    this.onCall();
  }

  async called(count: number): Promise<void> {
    while (this.calls.length < count) await new Promise<void>((resolve) => (this.onCall = resolve));
  }
}

describe("an exchange", () => {
  test("has what the request says", async () => {
    let seen: Exchange | undefined;
    const port = await start(
      serviceOf((x, sink) => {
        seen = x;
        sink.onHead(204, []);
        sink.onEnd(null);
      }),
      { scheme: "https" },
    );
    await talk(port, `PUT http://b:8/x?y HTTP/1.1\r\nHOST: a\r\nX-ID: 1\r\n${last}\r\n`);
    expect(seen).toMatchObject({
      method: "PUT",
      scheme: "http",
      authority: "b:8",
      path: "/x?y",
      version: "1.1",
      absoluteForm: true,
      tunnel: false,
      headers: ["host", "a", "x-id", "1"],
      body: null,
    });
    expect([seen?.headerCase?.get("host"), seen?.headerCase?.get("x-id")]).toEqual(["HOST", "X-ID"]);
    expect(seen?.connection?.remoteAddress).toBe("127.0.0.1");
  });

  test("of a 1.0 request without Host has no authority", async () => {
    let seen: Exchange | undefined;
    const port = await start(
      serviceOf((x, sink) => {
        seen = x;
        sink.onHead(200, []);
        sink.onEnd(null);
      }),
    );
    expect(await talk(port, "GET /x HTTP/1.0\r\n\r\n")).toBe("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    expect([seen?.authority, seen?.version]).toEqual(["", "1.0"]);
  });
});

describe("a response", () => {
  const hi = "HTTP/1.1 200 OK\r\n";
  test.each<[string, Service, string, string]>([
    [
      "keeps its length",
      respond(200, ["content-length", "2"], "hi"),
      get("/", last),
      `${hi}Content-Length: 2\r\n${last}\r\nhi`,
    ],
    [
      "without a length is chunked",
      respond(200, [], "hi"),
      get("/", last),
      `${hi}${last}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    ],
    ["without length and body has length 0", respond(200, []), get("/", last), `${hi}${last}Content-Length: 0\r\n\r\n`],
    ["to HTTP/1.0 ends with the connection", respond(200, [], "hi"), "GET / HTTP/1.0\r\n\r\n", `${hi}${last}\r\nhi`],
    [
      "to HEAD keeps its length and has no body",
      respond(200, ["content-length", "2"], "hi"),
      `HEAD / HTTP/1.1\r\nHost: a\r\n${last}\r\n`,
      `${hi}Content-Length: 2\r\n${last}\r\n`,
    ],
    [
      "with 204 has neither length nor body",
      respond(204, ["content-length", "2"], "hi"),
      get("/", last),
      `HTTP/1.1 204 No Content\r\n${last}\r\n`,
    ],
    [
      "with 304 has no body",
      respond(304, ["etag", "x", "content-length", "9"]),
      get("/", last),
      `HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 9\r\n${last}\r\n`,
    ],
    [
      "has names in Train-Case",
      respond(204, ["x-request-id", "1", "www-authenticate", "b", "date", "d"]),
      get("/", last),
      `HTTP/1.1 204 No Content\r\nX-Request-Id: 1\r\nWWW-Authenticate: b\r\nDate: d\r\n${last}\r\n`,
    ],
    [
      "loses hop-by-hop fields",
      respond(204, [
        "connection",
        "x",
        "keep-alive",
        "1",
        "transfer-encoding",
        "gzip",
        "proxy-connection",
        "1",
        "te",
        "x",
        "upgrade",
        "x",
      ]),
      get("/", last),
      `HTTP/1.1 204 No Content\r\n${last}\r\n`,
    ],
    [
      "has trailers",
      respond(200, [], "hi", ["x-sum", "1"]),
      get("/", last),
      `${hi}${last}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n`,
    ],
    [
      "has trailers without a body",
      respond(200, [], "", ["x-sum", "1"]),
      get("/", last),
      `${hi}${last}Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n`,
    ],
    [
      "has no framing among its trailers",
      respond(200, [], "hi", ["content-length", "1", "a", "b"]),
      get("/", last),
      `${hi}${last}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n`,
    ],
    [
      "may have an unregistered status",
      respond(299, []),
      get("/", last),
      `HTTP/1.1 299 \r\n${last}Content-Length: 0\r\n\r\n`,
    ],
    [
      "says keep-alive to HTTP/1.0",
      respond(200, ["content-length", "0"]),
      `GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n`,
      `${hi}Content-Length: 0\r\nConnection: keep-alive\r\n\r\n${hi}Content-Length: 0\r\n${last}\r\n`,
    ],
  ])("%s", async (_, service, text, expected) => {
    const port = await start(service);
    expect(await talk(port, text)).toBe(expected);
  });

  test("has names as the peer spelled them", async () => {
    const port = await start(
      serviceOf((x, sink) => {
        x.responseHeaderCase = new Map([["x-a", "x-A"]]);
        sink.onHead(204, ["x-a", "1", "x-b", "2"]);
        sink.onEnd(null);
      }),
    );
    expect(await talk(port, get("/", last))).toContain("\r\nx-A: 1\r\nX-B: 2\r\n");
  });

  test("that came before the flush goes out in one piece, also when it is chunked", async () => {
    const port = await start(
      serviceOf((_, sink) => {
        sink.onHead(200, []);
        setImmediate(() => {
          sink.onData(Buffer.from("late"));
          sink.onEnd(null);
        });
      }),
    );
    expect(await talk(port, get("/", last))).toMatch(/chunked\r\n\r\n4\r\nlate\r\n0\r\n\r\n$/);
  });

  test.each<[string, HeaderList]>([
    ["a line end in a value", ["a", "b\r\nc: d"]],
    ["a character whose low octet is a line feed", ["a", "b\u010ac: d"]],
    ["NUL in a value", ["a", "b\0"]],
    ["a line end in a name", ["a\r\nb", "c"]],
    ["a space in a name", ["a b", "c"]],
    ["an empty name", ["", "c"]],
    ["a content-length that is none", ["content-length", "5\r\n"]],
    ["two content-lengths", ["content-length", "5", "content-length", "5"]],
  ])("with %s is not written", async (_, headers) => {
    const port = await start(respond(200, headers, "hello"));
    expect(await talk(port, get("/"))).toBe(`HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n${last}\r\n`);
  });

  test("with a bad trailer is broken off", async () => {
    const port = await start(respond(200, [], "hi", ["a", "b\r\n"]));
    expect(await talk(port, get("/"))).not.toContain("0\r\n");
  });

  test("with less data than declared is broken off", async () => {
    const port = await start(respond(200, ["content-length", "5"], "hi"));
    const peer = await RawPeer.open(port.port);
    await peer.send(get("/")).toEnd();
    expect(peer.received).toMatch(/hi$/);
  });

  test("with more data than declared doesn't send it", async () => {
    const port = await start(respond(200, ["content-length", "1"], "hi"));
    expect(await talk(port, get("/"))).not.toContain("hi");
  });

  test("that fails after its head is visibly broken, chunked or not", async () => {
    const failing = serviceOf((x, sink) => {
      sink.onHead(200, x.path === "/length" ? ["content-length", "9"] : []);
      sink.onData(Buffer.from("hi"));
      sink.onError(transportError("SELVAGE_ERR_RESET", "x"));
    });
    const port = await start(failing);
    expect(await talk(port, get("/length"))).toMatch(/hi$/);
    expect(await talk(port, get("/"))).toMatch(/hi\r\n$/);
    // To HTTP/1.0, where the end of the connection is the end of the body, it has to be a reset.
    const outcome = await new Promise<string>((resolve) => {
      const peer = request({ port: port.port, agent: false, headers: { connection: "close" } });
      peer.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
      peer.on("response", (response) => {
        response.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
        response.on("end", () => resolve("complete"));
        response.resume();
      });
      peer.end();
    });
    expect(outcome).toBe("ECONNRESET");
  });

  test("that ends with the connection and fails is reset", async () => {
    const port = await start(
      serviceOf((_, sink) => {
        sink.onHead(200, []);
        sink.onData(Buffer.from("hi"));
        setImmediate(() => setImmediate(() => sink.onError(transportError("SELVAGE_ERR_RESET", "x"))));
      }),
    );
    const peer = await RawPeer.open(port.port);
    let code = "";
    peer.socket.on("error", (error: NodeJS.ErrnoException) => {
      code = error.code ?? "";
    });
    peer.send("GET / HTTP/1.0\r\n\r\n");
    while (!peer.closed) await peer.until(() => false);
    expect([code, peer.ended]).toEqual(["ECONNRESET", false]);
  });

  test("that fails before its head becomes the error's status", async () => {
    const port = await start(serviceOf((_, sink) => sink.onError(transportError("SELVAGE_ERR_CONNECT", "x"))));
    expect(await talk(port, get("/"))).toBe(`HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n${last}\r\n`);
    expect(await talk(port, get("/") + get("/"))).toMatch(/^HTTP\/1.1 502[\s\S]*\r\n\r\n$/);
  });

  test("calls after its end do nothing", async () => {
    const port = await start(
      serviceOf((_, sink) => {
        sink.onHead(200, ["content-length", "2"]);
        sink.onData(Buffer.from("hi"));
        sink.onEnd(null);
        sink.onData(Buffer.from("more"));
        sink.onEnd(null);
        sink.onError(transportError("SELVAGE_ERR_RESET", "x"));
      }),
    );
    expect((await talk(port, get("/") + get("/", last))).match(/200 OK/g)).toHaveLength(2);
  });
});

describe("informational responses", () => {
  const early = serviceOf((x, sink) => {
    sink.onInformational(100, []);
    sink.onInformational(103, ["link", "</a>"]);
    const answer = () => {
      sink.onHead(204, []);
      sink.onEnd(null);
    };
    if (x.body === null) answer();
    else x.body.pipe(new RecordingBodySink(answer));
  });

  test("pass, but 100 only to a client that waits for it", async () => {
    const port = await start(early);
    const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    expect(await talk(port, get("/", last))).toBe(`${hints}HTTP/1.1 204 No Content\r\n${last}\r\n`);
    const expecting = `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n${last}\r\nhi`;
    expect(await talk(port, expecting)).toBe(
      `HTTP/1.1 100 Continue\r\n\r\n${hints}HTTP/1.1 204 No Content\r\n${last}\r\n`,
    );
  });

  test("don't go to HTTP/1.0", async () => {
    const port = await start(early);
    expect(await talk(port, "GET / HTTP/1.0\r\n\r\n")).toBe(`HTTP/1.1 204 No Content\r\n${last}\r\n`);
  });

  test("a final head instead of 100 ends the connection, since the body may or may not come", async () => {
    const port = await start(respond(413, ["content-length", "0"]));
    const text = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n";
    expect(await talk(port, text)).toBe(`HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n${last}\r\n`);
  });
});

describe("a connection", () => {
  test("answers pipelined requests in order, one at a time", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.send(get("/1") + get("/2") + get("/3", last));
    for (const n of [1, 2, 3]) {
      await held.called(n);
      expect([held.calls.length, held.calls[n - 1]?.x.path]).toEqual([n, `/${n}`]);
      held.calls[n - 1]?.sink.onHead(200, ["content-length", "1"]);
      held.calls[n - 1]?.sink.onData(Buffer.from(String(n)));
      held.calls[n - 1]?.sink.onEnd(null);
    }
    expect((await peer.toEnd()).match(/\r\n\r\n./g)).toEqual(["\r\n\r\n1", "\r\n\r\n2", "\r\n\r\n3"]);
  });

  test("takes a client that ends its half before its response as gone: the exchange is aborted, and the connection ends", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.socket.end(get("/"));
    expect(await peer.toEnd()).not.toContain("200");
    expect(held.calls[0]?.aborted).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
    await closed(port);
  });

  test("takes a client that ends its half in the middle of its response as gone, and breaks it off", async () => {
    const held = new HeldService();
    held.onCall = () => {
      held.calls[0]?.sink.onHead(200, ["content-length", "2"]);
      held.calls[0]?.sink.onData(Buffer.from("a"));
    };
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.socket.end(get("/"));
    await peer.toEnd();
    expect(held.calls[0]?.aborted).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
    await closed(port);
  });

  test("takes a client that ends its half before its upgrade is answered as gone", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.socket.end("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    await peer.toEnd();
    expect(held.calls[0]?.aborted).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
  });

  test("answers a client that ends its half when the response is there at once", async () => {
    const port = await start(echo);
    const peer = await RawPeer.open(port.port);
    peer.socket.end(get("/1") + get("/2"));
    expect((await peer.toEnd()).match(/200/g)).toHaveLength(2);
  });

  test("with allowHalfClose answers a client that has ended its half, pipelined requests too", async () => {
    const held = new HeldService();
    const port = await start(held, { allowHalfClose: true });
    const peer = await RawPeer.open(port.port);
    peer.socket.end(get("/1") + get("/2"));
    for (const n of [1, 2]) {
      await held.called(n);
      await new Promise((resolve) => setImmediate(resolve));
      held.calls[n - 1]?.sink.onHead(204, []);
      held.calls[n - 1]?.sink.onEnd(null);
    }
    expect((await peer.toEnd()).match(/204/g)).toHaveLength(2);
    expect(held.calls.map((call) => call.aborted)).toEqual([null, null]);
  });

  test("that the client resets aborts the exchange as the caller's doing", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.send(get("/"));
    await held.called(1);
    const aborted = new Promise<void>((resolve) => {
      const { flow, sink } = { flow: held.calls[0]!.x.flow, sink: held.calls[0]!.sink };
      held.calls[0]!.x.flow = {
        ...flow,
        abort(reason) {
          held.calls[0]!.aborted = reason;
          sink.onError(reason);
          resolve();
        },
      };
    });
    peer.socket.resetAndDestroy();
    await aborted;
    expect(held.calls[0]?.aborted).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
    expect(port.closedCount()).toBe(1);
  });

  test("whose request ends in the middle aborts the exchange", async () => {
    const held = new HeldService();
    held.onCall = () => held.calls[0]?.x.body?.pipe(new RecordingBodySink());
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.socket.end("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhi");
    await peer.toEnd();
    expect(held.calls[0]?.aborted?.code).toBe("SELVAGE_ERR_ABORTED");
    expect(port.protections).toEqual(["h1-truncated"]);
  });

  test("that breaks the protocol in a body gets 400, and the exchange is aborted", async () => {
    const held = new HeldService();
    held.onCall = () => held.calls[0]?.x.body?.pipe(new RecordingBodySink());
    const port = await start(held);
    const text = `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n+1\r\n${get("/smuggled")}`;
    expect(await talk(port, text)).toMatch(/^HTTP\/1.1 400 Bad Request\r\n[\s\S]*\r\n\r\n$/);
    expect(held.calls).toHaveLength(1);
    expect(held.calls[0]?.aborted).toMatchObject({ code: "SELVAGE_ERR_MALFORMED", status: 400, origin: "caller" });
  });

  test("reads nothing after what it refused", async () => {
    const held = new HeldService();
    const port = await start(held);
    const bad = `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n${get("/smuggled")}`;
    expect(await talk(port, bad)).toBe(`HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n${last}\r\n`);
    expect([held.calls.length, port.protections]).toEqual([0, ["h1-host-repeated"]]);
  });

  test.each([
    ["GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505],
    [`GET /${"x".repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET / HTTP/1.1\r\nHost: a\r\nA: ${"x".repeat(40_000)}\r\n\r\n`, 431],
  ])("answers %.20j with %i", async (text, status) => {
    const port = await start(echo);
    expect(await talk(port, text)).toContain(`HTTP/1.1 ${status} `);
  });

  test("closes when the client asks, and when it speaks HTTP/1.0 without keep-alive", async () => {
    const port = await start(echo);
    expect((await talk(port, get("/", last) + get("/"))).match(/200 OK/g)).toHaveLength(1);
    expect((await talk(port, "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n")).match(/200 OK/g)).toHaveLength(1);
  });

  test("that is idle closes when drained", async () => {
    const port = await start(echo, { discardTimeoutMs: 10 });
    const peer = await RawPeer.open(port.port);
    await peer.send(get("/")).until((text) => text.includes("\n\r\n"));
    port.connections[0]?.drain();
    await peer.toEnd();
    expect(peer.ended).toBe(true);
  });

  test("that is busy says close with its response when drained", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.send(get("/"));
    await held.called(1);
    expect(port.connections[0]?.active).toBe(1);
    port.connections[0]?.drain();
    held.calls[0]?.sink.onHead(204, []);
    held.calls[0]?.sink.onEnd(null);
    expect(await peer.toEnd()).toContain(last);
    expect(port.connections[0]?.active).toBe(0);
  });

  test("that is drained with its first request under way answers it", async () => {
    const port = await start(echo);
    const peer = await RawPeer.open(port.port);
    while (port.connections.length === 0) await new Promise((resolve) => setImmediate(resolve));
    port.connections[0]?.drain();
    expect(await peer.send(get("/")).toEnd()).toContain(last);
  });

  test("destroyed in the middle aborts its exchange, once, and says so, once", async () => {
    const held = new HeldService();
    const port = await start(held);
    const peer = await RawPeer.open(port.port);
    peer.send(get("/"));
    await held.called(1);
    port.connections[0]?.destroy();
    port.connections[0]?.destroy();
    await peer.toEnd();
    expect([held.calls[0]?.aborted?.code, port.closedCount()]).toEqual(["SELVAGE_ERR_ABORTED", 1]);
  });
});
