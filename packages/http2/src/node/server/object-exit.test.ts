import { once } from "node:events";
import { createServer, IncomingMessage, type RequestListener, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Clock } from "../../clock.js";
import { AppExit } from "./app-exit.js";
import { clientGone, FakeBody, FakeConnection, fakeExchange, send } from "./app-exit-fakes.js";

const nodeMajor = Number.parseInt(process.versions.node, 10);

function exitOf(app: RequestListener): AppExit {
  return new AppExit(createServer(app), { seam: "objects" });
}

/** Resolves with the next uncaught exception, in place of the runner's own listeners. */
async function uncaught(): Promise<Error> {
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  try {
    return (await once(process, "uncaughtException"))[0] as Error;
  } finally {
    for (const listener of listeners) process.on("uncaughtException", listener);
  }
}

/** A clock that a test moves, with any number of timers. */
class ManualClock implements Clock {
  private time = 0;
  private readonly timers = new Set<{ callback: () => void; at: number }>();

  now(): number {
    return this.time;
  }

  epoch(): number {
    return this.time;
  }

  setTimer(callback: () => void, delayMs: number): unknown {
    const timer = { callback, at: this.time + delayMs };
    this.timers.add(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.timers.delete(timer as never);
  }

  advance(ms: number): void {
    this.time += ms;
    for (const timer of [...this.timers]) {
      if (timer.at > this.time || !this.timers.delete(timer)) continue;
      timer.callback();
    }
  }
}

describe("raw headers", () => {
  const app: RequestListener = (req, res) => res.end(JSON.stringify([req.httpVersion, ...req.rawHeaders]));

  test("of HTTP/2 start with host and are in lower case", async () => {
    const { sink } = send(exitOf(app), { headers: ["x-a", "1", "accept", "*/*"] });
    const seen = JSON.parse((await sink.done()).body);
    expect(seen).toEqual(["1.1", "host", "app.test", "x-a", "1", "accept", "*/*"]);
  });

  test("of HTTP/1 are in Train-Case, with host where the headers have it", async () => {
    const { sink } = send(exitOf(app), { version: "1.1", headers: ["etag", "x", "x-a-b", "1", "host", "other.test"] });
    const seen = JSON.parse((await sink.done()).body);
    expect(seen).toEqual(["1.1", "Host", "other.test", "ETag", "x", "X-A-B", "1"]);
  });

  test("of HTTP/1 are as they were written where that is known", async () => {
    const x = fakeExchange({ version: "1.0", headers: ["host", "a", "x-a", "1"] });
    x.headerCase = new Map([
      ["host", "HOST"],
      ["x-a", "x-A"],
    ]);
    expect(JSON.parse((await send(exitOf(app), x).sink.done()).body)).toEqual(["1.0", "HOST", "a", "x-A", "1"]);
  });

  test("are read up to maxHeadersCount", async () => {
    const server = createServer((req, res) => res.end(JSON.stringify(req.headers)));
    server.maxHeadersCount = 2;
    const { sink } = send(new AppExit(server, { seam: "objects" }), { headers: ["x-a", "1", "x-b", "2"] });
    expect(JSON.parse((await sink.done()).body)).toEqual({ host: "app.test", "x-a": "1" });
  });
});

describe("requests that the application never sees", () => {
  const app: RequestListener = (_, res) => res.end("seen");

  test("are those with more than maxHeaderSize", () => {
    const body = new FakeBody();
    const { sink } = send(exitOf(app), { headers: ["x-a", "a".repeat(17_000)], body });
    expect([sink.status, sink.ended, body.cancelled]).toEqual([431, true, true]);
  });

  test("are those of HTTP/1.1 without host, unless the server doesn't ask for it", async () => {
    const without = (version: "1.0" | "1.1") => {
      const x = fakeExchange({ version, headers: [] });
      x.authority = "";
      return x;
    };
    expect(send(exitOf(app), without("1.1")).sink.status).toBe(400);
    expect((await send(exitOf(app), without("1.0")).sink.done()).body).toBe("seen");
    const tolerant = createServer({ requireHostHeader: false }, app);
    const { sink } = send(new AppExit(tolerant, { seam: "objects" }), without("1.1"));
    expect((await sink.done()).body).toBe("seen");
  });

  test("are those whose objects can't be made", async () => {
    class Broken extends ServerResponse {
      constructor(...args: ConstructorParameters<typeof ServerResponse>) {
        super(...args);
        throw new Error("broken");
      }
    }
    const exit = new AppExit(createServer({ ServerResponse: Broken }, app), { seam: "objects" });
    const caught = uncaught();
    expect(send(exit).sink.status).toBe(500);
    expect((await caught).message).toBe("broken");
    expect(exit.active).toBe(0);
  });

  test("are all when nobody listens", async () => {
    const exit = new AppExit(createServer(), { seam: "objects" });
    expect((await send(exit).sink.done()).status).toBe(503);
  });
});

describe("a response", () => {
  test("that asks to close the connection drains it instead", async () => {
    const connection = new FakeConnection();
    const answers: RequestListener[] = [
      (_, res) => res.setHeader("Connection", "close").end(),
      (_, res) => {
        res.shouldKeepAlive = false;
        res.end();
      },
      (_, res) => res.setHeader("Connection", "keep-alive").end(),
    ];
    const exit = exitOf((req, res) => answers[Number(req.url?.slice(1))]?.(req, res));
    const drains: number[] = [];
    for (const path of ["/0", "/1", "/2"]) {
      await send(exit, { path, connection }).sink.done();
      drains.push(connection.drains);
    }
    expect(drains).toEqual([1, 2, 2]);
  });

  test("without the 100 that was asked for doesn't drain the connection", async () => {
    const connection = new FakeConnection();
    const server = createServer();
    server.on("checkContinue", (_, res) => res.writeHead(417).end());
    const exit = new AppExit(server, { seam: "objects" });
    const { sink } = send(exit, { headers: ["expect", "100-continue"], body: new FakeBody(3), connection });
    expect([(await sink.done()).status, connection.drains]).toEqual([417, 0]);
  });

  test("to the last of maxRequestsPerSocket drains the connection", async () => {
    const connection = new FakeConnection();
    const server = createServer((_, res) => res.end());
    server.maxRequestsPerSocket = 2;
    const exit = new AppExit(server, { seam: "objects" });
    const drains: number[] = [];
    for (let i = 0; i < 3; i++) {
      await send(exit, { connection }).sink.done();
      drains.push(connection.drains);
    }
    expect(drains).toEqual([0, 1, 1]);
  });

  test("to HTTP/1 says how its header names were written, and what was spoken", async () => {
    const exit = exitOf((_, res) => res.setHeader("X-ABc", "1").setHeader("plain", "2").end());
    const { x, sink } = send(exit, { version: "1.1" });
    await sink.done();
    expect([x.responseVersion, x.responseHeaderCase?.get("x-abc")]).toEqual(["1.1", "X-ABc"]);
    const other = send(exit, { version: "2.0" });
    await other.sink.done();
    expect([other.x.responseVersion, other.x.responseHeaderCase]).toEqual(["2.0", null]);
  });

  test("ends where its content-length ends", async () => {
    const exit = exitOf((_, res) => {
      res.writeHead(200, { "content-length": 3 });
      res.write("ab");
      res.end("cdef");
    });
    const { sink } = send(exit);
    expect([(await sink.done()).body, sink.ended]).toEqual(["abc", true]);
  });

  test("with a length that is none goes without", async () => {
    const exit = exitOf((_, res) => res.writeHead(200, { "content-length": "-1" }).end("abc"));
    const { sink } = send(exit);
    expect([(await sink.done()).body, sink.header("content-length")]).toEqual(["abc", undefined]);
  });

  test("that declares trailers and a length is refused as by node:http", async () => {
    const codes: unknown[] = [];
    const exit = exitOf((_, res) => {
      try {
        res.writeHead(200, { Trailer: "x", "content-length": 3 });
      } catch (error) {
        codes.push((error as NodeJS.ErrnoException).code);
      }
      res.destroy();
    });
    await send(exit).sink.done();
    expect(codes).toEqual(["ERR_HTTP_TRAILER_INVALID"]);
  });

  test.each([102, 101])("with %i as its final status is an error", async (status) => {
    const exit = exitOf((_, res) => res.writeHead(status).end());
    expect((await send(exit).sink.done()).error?.code).toBe("SELVAGE_ERR_PROTOCOL");
  });

  test("keeps what was written when the memory is used again after the callback", async () => {
    const exit = exitOf((_, res) => {
      const memory = Buffer.from("first");
      res.write(memory, () => {
        memory.write("other");
        res.end();
      });
    });
    expect((await send(exit).sink.done()).body).toBe("first");
  });

  test("doesn't copy what nobody is told about", async () => {
    const memory = Buffer.from("first");
    const exit = exitOf((req, res) => {
      if (req.url === "/write") res.write(memory);
      res.end(req.url === "/end" ? memory : undefined);
    });
    for (const path of ["/write", "/end"]) {
      expect((await send(exit, { path }).sink.done()).chunks[0]).toBe(memory);
    }
  });

  test("that finished leaves no request behind, read or not", async () => {
    const requests: IncomingMessage[] = [];
    const exit = exitOf((req, res) => {
      requests.push(req);
      res.end();
    });
    await send(exit).sink.done();
    const body = new FakeBody().give("more");
    const ended = send(exit, { method: "POST", body });
    await ended.sink.done();
    for (let i = 0; i < 3; i++) await nextTurn();
    expect(requests.map((req) => [req.destroyed, req.readableEnded, req.complete])).toEqual([
      [true, true, true],
      [true, true, true],
    ]);
    expect(body.cancelled).toBe(true);
  });

  test("lets a body that the application reads come to its end after it", async () => {
    const got: string[] = [];
    let over: () => void = () => {};
    const end = new Promise<void>((resolve) => {
      over = resolve;
    });
    const exit = exitOf((req, res) => {
      req.on("data", (chunk: Buffer) => got.push(chunk.toString()));
      req.on("end", over);
      res.end("early");
    });
    const body = new FakeBody().give("a");
    await send(exit, { method: "POST", body }).sink.done();
    await nextTurn();
    body.give("b").end();
    await end;
    expect([got.join(""), body.cancelled]).toEqual(["ab", false]);
  });
});

describe("an insecure parser", () => {
  test.runIf(nodeMajor >= 24)("doesn't loosen what is sent", async () => {
    const codes: unknown[] = [];
    const server = createServer({ insecureHTTPParser: true }, (_, res) => {
      try {
        res.setHeader("x-a", "a\u0001b");
        res.writeHead(200);
      } catch (error) {
        codes.push((error as NodeJS.ErrnoException).code);
      }
      res.destroy();
    });
    const { sink } = send(new AppExit(server, { seam: "objects" }));
    await sink.done();
    expect([codes, sink.status]).toEqual([["ERR_INVALID_CHAR"], 0]);
  });
});

describe("requestTimeout", () => {
  const post = { method: "POST", headers: ["content-length", "5"] };

  function timed(app: RequestListener): { clock: ManualClock; exit: AppExit } {
    const clock = new ManualClock();
    const server = createServer(app);
    server.requestTimeout = 5_000;
    return { clock, exit: new AppExit(server, { seam: "objects", clock }) };
  }

  test("answers 408 when the body didn't come in time and nothing was answered", async () => {
    const closed: string[] = [];
    const { clock, exit } = timed((req) => req.on("close", () => closed.push("close")).resume());
    const body = new FakeBody(5).give("a");
    const { sink } = send(exit, { ...post, body });
    clock.advance(4_000);
    expect(sink.status).toBe(0);
    clock.advance(2_000);
    expect([sink.status, sink.ended, body.cancelled, exit.active]).toEqual([408, true, true, 0]);
    for (let i = 0; i < 3; i++) await nextTurn();
    expect(closed).toEqual(["close"]);
  });

  test("cuts off a response that was started", () => {
    const { clock, exit } = timed((_, res) => res.write("a"));
    const { sink } = send(exit, { ...post, version: "1.1", headers: ["host", "a"], body: new FakeBody(5) });
    clock.advance(6_000);
    expect(sink.error?.code).toBe("SELVAGE_ERR_TIMEOUT");
  });

  test("lets both directions of an HTTP/2 exchange flow on", () => {
    const { clock, exit } = timed((_, res) => res.write("a"));
    const { x, sink } = send(exit, { ...post, body: new FakeBody(5) });
    clock.advance(60_000);
    expect(sink.over).toBe(false);
    x.flow.abort(clientGone());
  });

  test("leaves alone what came in time", async () => {
    const { clock, exit } = timed((req) => req.resume());
    const { x, sink } = send(exit, { method: "POST", body: "hello" });
    clock.advance(60_000);
    expect(sink.over).toBe(false);
    x.flow.abort(clientGone());
  });
});

describe("req.socket", () => {
  test("belongs to the exchange and not to the connection", async () => {
    const connection = new FakeConnection();
    const sockets: unknown[] = [];
    const exit = exitOf((req, res) => {
      sockets.push(req.socket, res.socket === req.socket, req.socket instanceof Socket);
      res.on("finish", () => sockets.push(res.socket));
      res.end();
    });
    await send(exit, { connection }).sink.done();
    await nextTurn();
    expect(sockets.slice(1)).toEqual([true, false, null]);
    expect(sockets[0]).not.toBe(connection.socket);
  });

  test("doesn't close after a complete exchange", async () => {
    let closes = 0;
    const exit = exitOf((req, res) => {
      req.socket.on("close", () => closes++);
      res.end();
    });
    await send(exit).sink.done();
    for (let i = 0; i < 3; i++) await nextTurn();
    expect(closes).toBe(0);
  });

  test("closes when the client goes", async () => {
    const closed = new Promise<void>((resolve) => {
      const exit = exitOf((req) => req.socket.on("close", () => resolve()));
      send(exit).x.flow.abort(clientGone());
    });
    await closed;
  });

  test.each(["end", "destroy"] as const)("ends the exchange by %s(), and no other", async (method) => {
    const connection = new FakeConnection();
    const exit = exitOf((req, res) => (req.url === "/a" ? req.socket[method]() : res.end("ok")));
    const first = send(exit, { path: "/a", connection });
    const second = send(exit, { path: "/b", connection });
    expect((await first.sink.done()).error?.code).toBe("SELVAGE_ERR_RESET");
    expect((await second.sink.done()).body).toBe("ok");
    expect(connection.destroyed).toBe(false);
  });

  test("takes a 1xx head as text, and no other raw bytes", async () => {
    const exit = exitOf((req, res) => {
      if (req.url === "/raw") req.socket.write("HTTP/1.1 200 OK\r\n\r\nraw");
      else {
        req.socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        res.end();
      }
    });
    const hinted = await send(exit).sink.done();
    expect(hinted.informational).toEqual([{ status: 103, headers: ["link", "</a>"] }]);
    expect((await send(exit, { path: "/raw" }).sink.done()).error?.code).toBe("SELVAGE_ERR_RESET");
  });

  test("knows the server and the address", async () => {
    const server = createServer((req, res) => {
      const socket = req.socket as Socket & { server: unknown };
      res.end(JSON.stringify([socket.server === server, socket.address(), socket.readyState]));
    });
    const { sink } = send(new AppExit(server, { seam: "objects" }));
    expect(JSON.parse((await sink.done()).body)).toEqual([
      true,
      { address: "192.0.2.1", family: "IPv4", port: 4143 },
      "open",
    ]);
  });
});

describe("req.signal", () => {
  const signalOf = (req: IncomingMessage) => (req as IncomingMessage & { signal: AbortSignal }).signal;

  test.runIf(nodeMajor >= 26)("is silent after a complete exchange, and aborts when the client goes", async () => {
    const signals: AbortSignal[] = [];
    const exit = exitOf((req, res) => {
      signals.push(signalOf(req));
      if (req.url === "/ok") res.end();
    });
    await send(exit, { path: "/ok" }).sink.done();
    send(exit, { path: "/hang" }).x.flow.abort(clientGone());
    for (let i = 0; i < 3; i++) await nextTurn();
    expect(signals.map((signal) => signal.aborted)).toEqual([false, true]);
  });
});

describe("an app that exchanges prototypes", () => {
  function express(): RequestListener & { request: object; response: object; born: boolean[] } {
    const app = (req: IncomingMessage, res: ServerResponse): void => {
      app.born.push(Object.getPrototypeOf(req) === app.request && Object.getPrototypeOf(res) === app.response);
      Object.setPrototypeOf(req, app.request);
      Object.setPrototypeOf(res, app.response);
      res.end("ok");
    };
    app.request = Object.create(IncomingMessage.prototype);
    app.response = Object.create(ServerResponse.prototype);
    app.born = [] as boolean[];
    return app;
  }

  test("gets objects that are born with them, where that is worth it", async () => {
    const app = express();
    const exit = exitOf(app);
    for (let i = 0; i < 3; i++) expect((await send(exit).sink.done()).body).toBe("ok");
    expect(app.born).toEqual(nodeMajor < 24 ? [false, true, true] : [false, false, false]);
  });

  test("behind a listener of another kind gets plain ones", async () => {
    const app = express();
    const exit = exitOf((req, res) => app(req, res));
    for (let i = 0; i < 3; i++) await send(exit).sink.done();
    expect(app.born).toEqual([false, false, false]);
  });
});

test("an error that a 'data' listener throws doesn't reach the source of the body", async () => {
  const exit = exitOf((req) => {
    req.on("data", () => {
      throw new Error("from data");
    });
  });
  const body = new FakeBody();
  const { x } = send(exit, { method: "POST", body });
  await nextTurn();
  const caught = uncaught();
  body.give("a");
  expect((await caught).message).toBe("from data");
  x.flow.abort(clientGone());
});

test("thousands of made-up header names leave the memory as it is", async () => {
  const exit = exitOf((req, res) => {
    const seen = req.rawHeaders[2] ?? "";
    res.setHeader(`X-${seen}`, "1").end(seen);
  });
  for (let i = 0; i < 3_000; i++) {
    const { x, sink } = send(exit, { version: "1.1", headers: ["host", "a", `made-up-${i}`, "1"] });
    if (!sink.over) await sink.done();
    expect(sink.body).toBe(`Made-Up-${i}`);
    expect(x.responseHeaderCase?.size ?? 0).toBeLessThanOrEqual(256);
  }
});
