import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer, IncomingMessage, type RequestListener, type Server, ServerResponse } from "node:http";
import { pipeline, Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { createGzip, gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { AppExit } from "./app-exit.js";
import { clientGone, FakeBody, FakeConnection, fakeExchange, RecordingSink, send } from "./app-exit-fakes.js";
import { exchangeOf } from "./exchange-of.js";

const seams = ["objects", "pair"] as const;

function exitOf(seam: (typeof seams)[number], app: RequestListener | Server): AppExit {
  return new AppExit(typeof app === "function" ? createServer(app) : app, { seam });
}

function read(req: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    req.setEncoding("utf8");
    req.on("data", (chunk: string) => {
      text += chunk;
    });
    req.on("end", () => resolve(text));
    req.on("error", reject);
  });
}

/** Resolves with what `settle` was called with. */
function settled<T>(): { promise: Promise<T>; settle: (value: T) => void } {
  let settle: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, settle };
}

describe.each(seams)("an application served through the %s seam", (seam) => {
  describe("requests", () => {
    test("are genuine objects, with method, url and headers", async () => {
      const exit = exitOf(seam, (req, res) => {
        const genuine = req instanceof IncomingMessage && res instanceof ServerResponse;
        res.end(JSON.stringify([genuine, req.method, req.url, req.headers["x-a"], req.headers.host, req.httpVersion]));
      });
      const { sink } = send(exit, { method: "PUT", path: "/a?b=c", headers: ["x-a", "1"] });
      expect(JSON.parse((await sink.done()).body)).toEqual([true, "PUT", "/a?b=c", "1", "app.test", "1.1"]);
    });

    test("have the absolute form when the client used it", async () => {
      const exit = exitOf(seam, (req, res) => res.end(req.url));
      const x = fakeExchange({ version: "1.1", path: "/a" });
      x.absoluteForm = true;
      expect((await send(exit, x).sink.done()).body).toBe("http://app.test/a");
    });

    test("with a body of known length deliver it", async () => {
      const exit = exitOf(seam, async (req, res) => res.end(`${req.headers["content-length"]} ${await read(req)}`));
      const { sink } = send(exit, { method: "POST", body: "hello" });
      expect((await sink.done()).body).toBe("5 hello");
    });

    test("with a body of unknown length show transfer-encoding, for body parsers look for it", async () => {
      const exit = exitOf(seam, async (req, res) => res.end(`${req.headers["transfer-encoding"]} ${await read(req)}`));
      const { sink } = send(exit, { method: "POST", body: new FakeBody().give("hel").give("lo").end() });
      expect((await sink.done()).body).toBe("chunked hello");
    });

    test("without a body end at once", async () => {
      const exit = exitOf(seam, async (req, res) => res.end(`[${await read(req)}]`));
      expect((await send(exit, {}).sink.done()).body).toBe("[]");
    });

    test("bring their trailers", async () => {
      const exit = exitOf(seam, async (req, res) => {
        await read(req);
        res.end(JSON.stringify(req.trailers));
      });
      const { sink } = send(exit, { method: "POST", body: new FakeBody().give("x").end(["x-sum", "1"]) });
      expect(JSON.parse((await sink.done()).body)).toEqual({ "x-sum": "1" });
    });

    test("have one cookie header, although HTTP/2 may split it", async () => {
      const exit = exitOf(seam, (req, res) => res.end(req.headers.cookie));
      const { sink } = send(exit, { headers: ["cookie", "a=1", "x-b", "2", "cookie", "b=2"] });
      expect((await sink.done()).body).toBe("a=1; b=2");
    });

    test("lead back to their exchange", async () => {
      const seen = settled<unknown>();
      const exit = exitOf(seam, (req, res) => {
        seen.settle(exchangeOf(req));
        res.end();
      });
      const { x, sink } = send(exit);
      expect(await seen.promise).toBe(x);
      await sink.done();
      expect(exchangeOf(new IncomingMessage(null as never))).toBeUndefined();
    });

    test("show the facts of their connection and not the connection itself", async () => {
      const seen = settled<Record<string, unknown>>();
      const exit = exitOf(seam, (req, res) => {
        const socket = req.socket as unknown as Record<string, unknown> & { getPeerCertificate(): unknown };
        const { remoteAddress, remotePort, localAddress, localPort, encrypted, authorized, alpnProtocol } = socket;
        seen.settle({ remoteAddress, remotePort, localAddress, localPort, encrypted, authorized, alpnProtocol });
        res.end(JSON.stringify(socket.getPeerCertificate()));
      });
      const connection = new FakeConnection({
        authorized: true,
        alpnProtocol: "h2",
        getPeerCertificate: () => ({ subject: { CN: "peer" } }),
      });
      const { sink } = send(exit, { connection });
      expect(JSON.parse((await sink.done()).body)).toEqual({ subject: { CN: "peer" } });
      expect(await seen.promise).toEqual({
        remoteAddress: "192.0.2.7",
        remotePort: 4711,
        localAddress: "192.0.2.1",
        localPort: 4143,
        encrypted: true,
        authorized: true,
        alpnProtocol: "h2",
      });
    });

    test("on a plain connection have no TLS facts", async () => {
      const exit = exitOf(seam, (req, res) => {
        const socket = req.socket as unknown as Record<string, unknown>;
        res.end(`${socket["encrypted"]} ${socket["getPeerCertificate"]} ${socket["authorized"]}`);
      });
      expect((await send(exit).sink.done()).body).toBe("undefined undefined undefined");
    });

    test("of two streams in one read don't share an async context", async () => {
      const store = new AsyncLocalStorage<string>();
      const seen: (string | undefined)[] = [];
      const exit = exitOf(seam, async (req, res) => {
        seen.push(store.getStore());
        store.enterWith(req.url ?? "");
        await nextTurn();
        res.end(store.getStore());
      });
      const first = send(exit, { path: "/1" }).sink;
      const second = send(exit, { path: "/2" }).sink;
      expect([(await first.done()).body, (await second.done()).body]).toEqual(["/1", "/2"]);
      expect(seen).toEqual([undefined, undefined]);
      expect(store.getStore()).toBeUndefined();
    });
  });

  describe("responses", () => {
    test("bring status and headers, several of one name too", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setHeader("Set-Cookie", ["a=1", "b=2"]);
        res.writeHead(201, { "X-B": "3", "content-type": "text/plain" });
        res.end("ok");
      });
      const { sink } = send(exit);
      await sink.done();
      expect([sink.status, sink.body]).toEqual([201, "ok"]);
      expect(sink.all("set-cookie")).toEqual(["a=1", "b=2"]);
      expect(sink.header("x-b")).toBe("3");
      expect(sink.header("date")).toMatch(/GMT$/);
    });

    test.each([
      ["a flat array", ["X-A", "1", "X-A", "2"]],
      ["an array of pairs", [["X-A", "1"] as never, ["X-A", "2"] as never]],
    ])("take headers as %s", async (_, headers) => {
      const exit = exitOf(seam, (_, res) => res.writeHead(200, headers as never).end());
      expect((await send(exit).sink.done()).all("x-a")).toEqual(["1", "2"]);
    });

    test("declare the length of a body given to end(), and of none", async () => {
      const exit = exitOf(seam, (req, res) => (req.url === "/empty" ? res.end() : res.end("häl")));
      expect((await send(exit).sink.done()).header("content-length")).toBe("4");
      expect((await send(exit, { path: "/empty" }).sink.done()).header("content-length")).toBe("0");
    });

    test("written in parts have no length and no transfer-encoding", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.write("a");
        res.write(Buffer.from("b"));
        res.write("Yw==", "base64");
        res.end("d");
      });
      const { sink } = send(exit);
      await sink.done();
      expect(sink.body).toBe("abcd");
      expect([sink.header("content-length"), sink.header("transfer-encoding")]).toEqual([undefined, undefined]);
    });

    test("lose their hop-by-hop headers, those that Connection names too", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setHeader("Connection", "keep-alive, x-hop");
        res.setHeader("X-Hop", "1");
        res.setHeader("Keep-Alive", "timeout=5");
        res.setHeader("Proxy-Connection", "x");
        res.setHeader("X-Stays", "1");
        res.end("ok");
      });
      const { sink } = send(exit);
      await sink.done();
      const names = sink.headers.filter((_, i) => i % 2 === 0).sort();
      expect(names).toEqual(["content-length", "date", "x-stays"]);
    });

    test("send no date when told so", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.sendDate = false;
        res.end();
      });
      expect((await send(exit).sink.done()).header("date")).toBeUndefined();
    });

    test.each([204, 304])("with the status %i have no body", async (status) => {
      const exit = exitOf(seam, (_, res) => res.writeHead(status).end("ignored"));
      const { sink } = send(exit);
      await sink.done();
      expect([sink.status, sink.chunks.length, sink.header("content-length")]).toEqual([status, 0, undefined]);
    });

    test("to HEAD have headers only, with the length that the application declares", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setHeader("content-length", 5);
        res.write("hello");
        res.end();
      });
      const { sink } = send(exit, { method: "HEAD" });
      await sink.done();
      expect([sink.status, sink.chunks.length, sink.header("content-length")]).toEqual([200, 0, "5"]);
    });

    test("bring their trailers", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.writeHead(200, { Trailer: "X-Sum" });
        res.write("a");
        res.addTrailers({ "X-Sum": "1" });
        res.end();
      });
      expect((await send(exit).sink.done()).trailers).toEqual(["x-sum", "1"]);
    });

    test("send informational heads before", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.writeEarlyHints({ link: "</a.css>; rel=preload", "x-a": "1" });
        res.writeProcessing();
        res.end("ok");
      });
      const { sink } = send(exit);
      await sink.done();
      expect(sink.informational.map((head) => head.status)).toEqual([103, 102]);
      expect(sink.informational[0]?.headers).toEqual(["link", "</a.css>; rel=preload", "x-a", "1"]);
    });

    test("send their head on flushHeaders()", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setHeader("x-a", "1");
        res.flushHeaders();
      });
      const { x, sink } = send(exit);
      if (sink.status === 0) await once(sink, "head");
      expect([sink.status, sink.header("x-a"), sink.ended]).toEqual([200, "1", false]);
      x.flow.abort(clientGone());
    });

    test("finish before they close, and tell those who asked", async () => {
      const log: string[] = [];
      const closed = settled<void>();
      const exit = exitOf(seam, (_, res) => {
        res.on("finish", () => log.push(`finish ${res.writableFinished}`));
        res.on("close", () => {
          log.push("close");
          closed.settle();
        });
        res.write("a", () => log.push("written"));
        res.end("b", () => log.push("ended"));
        log.push(`sync ${res.writableEnded} ${res.headersSent}`);
      });
      await send(exit).sink.done();
      await closed.promise;
      expect(log[0]).toBe("sync true true");
      expect(log.slice(1).sort()).toEqual(["close", "ended", "finish true", "written"]);
      expect(log.indexOf("written")).toBeLessThan(log.indexOf("finish true"));
      expect(log.at(-1)).toBe("close");
    });

    test("refuse invalid headers as node:http does", async () => {
      const codes: (string | undefined)[] = [];
      const attempt = (action: () => unknown): void => {
        try {
          action();
          codes.push(undefined);
        } catch (error) {
          codes.push((error as NodeJS.ErrnoException).code);
        }
      };
      const exit = exitOf(seam, (_, res) => {
        attempt(() => res.setHeader("a b", "1"));
        attempt(() => res.setHeader("a", "1\r\nb: 2"));
        attempt(() => res.writeHead(200, { "a\n": "1" }));
        attempt(() => res.writeHead(1000));
        attempt(() => res.addTrailers({ "x:": "1" }));
        res.statusMessage = "OK";
        res.writeHead(200);
        attempt(() => res.setHeader("late", "1"));
        attempt(() => res.writeHead(200));
        res.end();
      });
      await send(exit).sink.done();
      expect(codes).toEqual([
        "ERR_INVALID_HTTP_TOKEN",
        "ERR_INVALID_CHAR",
        "ERR_INVALID_HTTP_TOKEN",
        "ERR_HTTP_INVALID_STATUS_CODE",
        "ERR_INVALID_HTTP_TOKEN",
        "ERR_HTTP_HEADERS_SENT",
        "ERR_HTTP_HEADERS_SENT",
      ]);
    });

    test("report a write after the end", async () => {
      const code = settled<string | undefined>();
      const exit = exitOf(seam, (_, res) => {
        res.on("error", (error: NodeJS.ErrnoException) => code.settle(error.code));
        res.end("a");
        res.write("b");
      });
      const { sink } = send(exit);
      expect(await code.promise).toBe("ERR_STREAM_WRITE_AFTER_END");
      expect((await sink.done()).body).toBe("a");
    });

    test("with strictContentLength refuse a wrong length", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.strictContentLength = true;
        res.writeHead(200, { "content-length": 2 });
        let code = "";
        try {
          res.write("abc");
        } catch (error) {
          code = (error as NodeJS.ErrnoException).code ?? "";
        }
        res.write(code.slice(0, 2));
        res.end();
      });
      expect((await send(exit).sink.done()).body).toBe("ER");
    });

    test("that lack a part of their content-length are an error for the peer", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.shouldKeepAlive = false;
        res.setHeader("content-length", 5);
        res.end("abc");
      });
      const { sink } = send(exit);
      await sink.done();
      expect(sink.error?.code).toMatch(/^SELVAGE_ERR_(RESET|CLOSED|PROTOCOL)$/);
    });

    test("keep methods that were wrapped or patched", async () => {
      const exit = exitOf(seam, (_, res) => {
        const { end, writeHead, write } = res;
        res.writeHead = function (this: ServerResponse, ...args: unknown[]) {
          this.setHeader("x-wrapped", "head");
          return writeHead.apply(this, args as never);
        } as never;
        res.write = ((chunk: string, ...rest: unknown[]) =>
          write.call(res, chunk.toUpperCase(), ...(rest as [never]))) as never;
        res.end = ((chunk: string) => {
          res.write(chunk);
          return end.call(res, "!", "utf8");
        }) as never;
        res.end("ok");
      });
      const { sink } = send(exit);
      await sink.done();
      expect([sink.body, sink.header("x-wrapped")]).toEqual(["OK!", "head"]);
    });

    test("work after an exchange of prototypes, as Express does it", async () => {
      const request = Object.create(IncomingMessage.prototype);
      const response = Object.create(ServerResponse.prototype);
      response.json = function (this: ServerResponse, value: unknown) {
        this.setHeader("content-type", "application/json");
        this.end(JSON.stringify(value));
      };
      const app = (req: IncomingMessage, res: ServerResponse & { json?(value: unknown): void }): void => {
        Object.setPrototypeOf(req, request);
        Object.setPrototypeOf(res, response);
        res.json?.({ url: req.url, proto: Object.getPrototypeOf(res) === response });
      };
      const exit = exitOf(seam, Object.assign(app, { request, response }));
      for (const path of ["/1", "/2", "/3"]) {
        expect(JSON.parse((await send(exit, { path }).sink.done()).body)).toEqual({ url: path, proto: true });
      }
    });

    test("carry what is piped into them", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setHeader("content-encoding", "gzip");
        pipeline(Readable.from(["a".repeat(70_000), "b"]), createGzip(), res, () => {});
      });
      const { sink } = send(exit);
      await sink.done();
      expect(gunzipSync(Buffer.concat(sink.chunks)).length).toBe(70_001);
    });

    test("echo a piped request", async () => {
      const exit = exitOf(seam, (req, res) => req.pipe(res));
      const body = new FakeBody();
      const { sink } = send(exit, { method: "POST", body });
      body.give("a".repeat(100_000));
      await nextTurn();
      body.give("b").end();
      expect((await sink.done()).bytes).toBe(100_001);
    });
  });

  describe("back pressure", () => {
    test("a slow client stops the writer, and 'drain' starts it again", async () => {
      const chunk = Buffer.alloc(16_384, 1);
      const total = 20;
      let written = 0;
      const stopped = settled<void>();
      const exit = exitOf(seam, (_, res) => {
        const more = (): void => {
          while (written < total) {
            written++;
            if (!res.write(chunk)) {
              stopped.settle();
              res.once("drain", more);
              return;
            }
          }
          res.end();
        };
        more();
      });
      const x = fakeExchange();
      const sink = new RecordingSink();
      let pauseAt = 65_536;
      sink.whenData = () => {
        if (sink.bytes >= pauseAt) x.flow.pause();
      };
      exit.call(x, sink);
      await stopped.promise;
      for (let i = 0; i < 10; i++) await nextTurn();
      expect(written).toBeLessThan(total);
      expect(sink.ended).toBe(false);
      pauseAt = Number.POSITIVE_INFINITY;
      x.flow.resume();
      await sink.done();
      expect(sink.bytes).toBe(total * chunk.length);
    });

    test("a response that waits for a slow client isn't finished", async () => {
      const log: string[] = [];
      const exit = exitOf(seam, (_, res) => {
        res.on("finish", () => log.push("finish"));
        for (let i = 0; i < 4; i++) res.write(Buffer.alloc(200_000));
        res.end(Buffer.alloc(200_000));
      });
      const x = fakeExchange();
      const sink = new RecordingSink();
      sink.whenData = () => {
        if (sink.bytes < 900_000) x.flow.pause();
      };
      exit.call(x, sink);
      for (let i = 0; i < 10; i++) await nextTurn();
      expect([log, sink.ended]).toEqual([[], false]);
      const resume = (): void => {
        if (sink.over) return;
        x.flow.resume();
        setImmediate(resume);
      };
      resume();
      await sink.done();
      expect(sink.bytes).toBe(1_000_000);
    });

    test("an application that doesn't read stops the client", async () => {
      const got = settled<IncomingMessage>();
      const exit = exitOf(seam, (req) => got.settle(req));
      const body = new FakeBody();
      const { x } = send(exit, { method: "POST", body });
      const req = await got.promise;
      req.pause();
      for (let i = 0; i < 64; i++) {
        body.give(Buffer.alloc(16_384));
        await nextTurn();
      }
      expect(body.waitingBytes).toBeGreaterThan(32 * 16_384);
      let read = 0;
      req.on("data", (chunk: Buffer) => {
        read += chunk.length;
      });
      body.end();
      req.resume();
      await once(req, "end");
      expect(read).toBe(64 * 16_384);
      x.flow.abort(clientGone());
    });
  });

  describe("an exchange that is cut off", () => {
    test("by the client is an abort for the application", async () => {
      const log: string[] = [];
      const closed = settled<void>();
      const exit = exitOf(seam, (req, res) => {
        req.on("aborted", () => log.push("aborted"));
        req.on("error", (error: NodeJS.ErrnoException) => log.push(`error ${error.code}`));
        req.on("close", () => {
          log.push(`req close ${req.destroyed}`);
          closed.settle();
        });
        res.on("close", () => log.push(`res close ${res.writableFinished}`));
        res.on("finish", () => log.push("finish"));
        got.settle();
      });
      const got = settled<void>();
      const { x, sink } = send(exit, { method: "POST", body: new FakeBody().give("part") });
      await got.promise;
      const reason = clientGone();
      x.flow.abort(reason);
      expect(sink.error).toBe(reason);
      x.flow.abort(clientGone());
      await closed.promise;
      await nextTurn();
      expect(log.sort()).toEqual(["aborted", "error ECONNRESET", "req close true", "res close false"]);
      expect(exit.active).toBe(0);
    });

    test("while the response is sent closes the response without finishing it", async () => {
      const closed = settled<string>();
      const exit = exitOf(seam, (_, res) => {
        res.write("part");
        res.on("close", () => closed.settle(`${res.writableFinished} ${res.destroyed}`));
      });
      const { x, sink } = send(exit);
      if (sink.bytes === 0) await once(sink, "data");
      x.flow.abort(clientGone());
      expect(await closed.promise).toBe("false true");
      expect(sink.error?.code).toBe("SELVAGE_ERR_ABORTED");
    });

    test.each(["req", "res"] as const)("by %s.destroy() is an error for the peer", async (which) => {
      const closed = settled<void>();
      const exit = exitOf(seam, (req, res) => {
        res.on("close", () => closed.settle());
        (which === "req" ? req : res).destroy();
      });
      const { sink } = send(exit, { method: "POST", body: new FakeBody() });
      await sink.done();
      expect(sink.error?.code).toMatch(/^SELVAGE_ERR_(RESET|CLOSED)$/);
      await closed.promise;
      expect(exit.active).toBe(0);
    });

    test("after a write doesn't take later writes", async () => {
      const codes: (string | undefined)[] = [];
      const done = settled<void>();
      const exit = exitOf(seam, (_, res) => {
        res.write("a");
        res.on("close", () => {
          res.write("b", (error) => {
            codes.push((error as NodeJS.ErrnoException | null | undefined)?.code);
            done.settle();
          });
        });
        res.on("error", () => {});
      });
      const { x, sink } = send(exit);
      if (sink.bytes === 0) await once(sink, "data");
      x.flow.abort(clientGone());
      await done.promise;
      expect(codes).toEqual(["ERR_STREAM_DESTROYED"]);
      expect(sink.body).toBe("a");
    });
  });

  describe("Expect: 100-continue", () => {
    const request = { method: "POST", headers: ["expect", "100-continue", "content-length", "2"] };

    test("is answered before the application sees the request", async () => {
      const exit = exitOf(seam, async (req, res) => res.end(await read(req)));
      const body = new FakeBody(2);
      const { sink } = send(exit, { ...request, body });
      if (sink.informational.length === 0) await once(sink, "informational");
      body.give("ok").end();
      await sink.done();
      expect([sink.informational.map((head) => head.status), sink.body]).toEqual([[100], "ok"]);
    });

    test("is left to a 'checkContinue' listener", async () => {
      const server = createServer(() => {});
      server.on("checkContinue", (_, res) => res.writeHead(417).end());
      const { sink } = send(exitOf(seam, server), { ...request, body: new FakeBody(2) });
      await sink.done();
      expect([sink.informational, sink.status]).toEqual([[], 417]);
    });

    test("of another kind is refused, or left to 'checkExpectation'", async () => {
      const server = createServer((_, res) => res.end());
      const exit = exitOf(seam, server);
      expect((await send(exit, { headers: ["expect", "miracles"] }).sink.done()).status).toBe(417);
      server.on("checkExpectation", (_, res) => res.writeHead(202).end());
      expect((await send(exit, { headers: ["expect", "miracles"] }).sink.done()).status).toBe(202);
    });
  });

  describe("time", () => {
    test("res.setTimeout() tells the response", async () => {
      const exit = exitOf(seam, (_, res) => {
        res.setTimeout(5, () => res.writeHead(503).end());
      });
      expect((await send(exit).sink.done()).status).toBe(503);
    });

    test("req.setTimeout() tells a request that isn't complete", async () => {
      const exit = exitOf(seam, (req, res) => {
        req.setTimeout(5, () => res.writeHead(408).end());
      });
      const { sink } = send(exit, { method: "POST", body: new FakeBody() });
      expect((await sink.done()).status).toBe(408);
    });

    test("server.timeout ends exchanges that nobody answers", async () => {
      const server = createServer(() => {});
      server.timeout = 5;
      const { sink } = send(exitOf(seam, server));
      await sink.done();
      expect(sink.error?.code).toMatch(/^SELVAGE_ERR_(TIMEOUT|CLOSED)$/);
    });

    test("a 'timeout' listener of the server decides", async () => {
      const server = createServer(() => {});
      const told = settled<unknown>();
      server.setTimeout(5, (socket) => {
        told.settle(socket.remoteAddress);
      });
      const { x } = send(exitOf(seam, server));
      expect(await told.promise).toBe("192.0.2.7");
      x.flow.abort(clientGone());
    });
  });

  test("what a listener throws is an uncaught exception, and the next request is served", async () => {
    const exit = exitOf(seam, (req, res) => {
      if (req.url === "/throw") throw new Error("from the listener");
      res.end("ok");
    });
    const caught = settled<Error>();
    const handlers = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.once("uncaughtException", (error) => caught.settle(error));
    try {
      const thrown = send(exit, { path: "/throw" });
      const next = send(exit);
      expect((await caught.promise).message).toBe("from the listener");
      expect((await next.sink.done()).body).toBe("ok");
      thrown.x.flow.abort(clientGone());
    } finally {
      for (const handler of handlers) process.on("uncaughtException", handler);
    }
  });

  test("diagnostics channels tell of start and finish", async () => {
    const log: string[] = [];
    const finished = settled<void>();
    const start = (message: unknown): void => {
      const { request, response, server } = message as Record<string, object>;
      log.push(`start ${request instanceof IncomingMessage} ${response instanceof ServerResponse} ${server === http}`);
    };
    const finish = (message: unknown): void => {
      log.push(`finish ${(message as { response: ServerResponse }).response.statusCode}`);
      finished.settle();
    };
    const http = createServer((_, res) => {
      log.push("request");
      res.writeHead(202).end();
    });
    subscribe("http.server.request.start", start);
    subscribe("http.server.response.finish", finish);
    try {
      await send(exitOf(seam, http)).sink.done();
      await finished.promise;
    } finally {
      unsubscribe("http.server.request.start", start);
      unsubscribe("http.server.response.finish", finish);
    }
    expect(log).toEqual(["start true true true", "request", "finish 202"]);
  });

  test("classes given to createServer are used", async () => {
    class Mine<T extends IncomingMessage = IncomingMessage> extends ServerResponse<T> {
      mine = "yes";
    }
    class Theirs extends IncomingMessage {
      theirs = "too";
    }
    const server = createServer({ ServerResponse: Mine, IncomingMessage: Theirs }, (req, res) => {
      res.end(`${res.mine} ${req.theirs}`);
    });
    expect((await send(exitOf(seam, server)).sink.done()).body).toBe("yes too");
  });

  test("rejections of async listeners are captured when the server asks for it", async () => {
    const server = createServer(async () => {
      throw new Error("rejected");
    });
    Object.defineProperty(server, Symbol.for("nodejs.rejection"), {
      value: (_: Error, __: string, ___: IncomingMessage, res: ServerResponse) => res.writeHead(500).end("captured"),
    });
    const { captureRejectionSymbol } = await import("node:events");
    expect(captureRejectionSymbol).toBe(Symbol.for("nodejs.rejection"));
    const capturing = new (await import("node:events")).EventEmitter({ captureRejections: true });
    for (const key of Object.getOwnPropertySymbols(capturing)) {
      if (key.description === "kCapture") Object.defineProperty(server, key, { value: true });
    }
    const { sink } = send(exitOf(seam, server));
    expect((await sink.done()).body).toBe("captured");
  });

  test("active counts the exchanges whose response hasn't ended", async () => {
    const responses: ServerResponse[] = [];
    const both = settled<void>();
    const exit = exitOf(seam, (_, res) => {
      if (responses.push(res) === 2) both.settle();
    });
    const sinks: RecordingSink[] = [send(exit).sink, send(exit).sink];
    await both.promise;
    expect(exit.active).toBe(2);
    responses[0]?.end();
    await sinks[0]?.done();
    expect(exit.active).toBe(1);
    responses[1]?.destroy();
    await sinks[1]?.done();
    expect(exit.active).toBe(0);
  });
});
