import { createHash } from "node:crypto";
import { Agent, type IncomingMessage, request } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import type { Body, Exchange, Service, Sink } from "../exchange.js";
import { echo, RawPeer, RecordingBodySink, type ServedPort, serve, serviceOf } from "../testing/h1-peers.js";

const opened: { close(): void }[] = [];

async function start(service: Service, options: Parameters<typeof serve>[1] = {}): Promise<ServedPort> {
  const port = await serve(service, options);
  opened.push(port);
  return port;
}

afterEach(() => {
  for (const port of opened.splice(0)) port.close();
});

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

interface Answer {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
  trailers: IncomingMessage["trailers"];
  reused: boolean;
}

/** By node:http. */
function ask(
  port: number,
  agent: Agent | false,
  pieces: readonly (string | Buffer)[] = [],
  headers = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const method = pieces.length === 0 ? "GET" : "POST";
    const asked = request({ port, host: "127.0.0.1", agent, method, path: "/p", headers });
    asked.on("error", reject);
    asked.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("error", reject);
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => {
        const body = Buffer.concat(chunks).toString("latin1");
        const { statusCode: status = 0, headers, trailers } = response;
        resolve({ status, headers, body, trailers, reused: asked.reusedSocket });
      });
    });
    for (const piece of pieces) asked.write(piece);
    asked.end();
  });
}

describe("with node:http as the client", () => {
  test("one connection serves many requests, with bodies of both framings", async () => {
    const port = await start(echo);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 20; i++) {
      const pieces = i % 3 === 0 ? [] : ["a".repeat(i), "b".repeat(i * 1000)];
      const headers = i % 3 === 1 ? { "content-length": i * 1001 } : {};
      const answer = await ask(port.port, agent, pieces, headers);
      expect(answer.body.slice(answer.body.indexOf("\n") + 1)).toBe(pieces.join(""));
    }
    expect(port.connections).toHaveLength(1);
    agent.destroy();
  });

  test("a large body goes both ways, under back pressure, and arrives as it was", async () => {
    const size = 32 << 20;
    const sent = Buffer.alloc(size, "0123456789abcdef-");
    let paused = 0;
    let waited = () => {};
    const port = await start(
      serviceOf((x, sink) => {
        // What is read is written; and as fast as it is taken.
        const body = x.body as Body;
        x.flow = {
          abort() {},
          pause() {
            paused++;
            waited();
            body.pause();
          },
          resume() {
            body.resume();
          },
        };
        sink.onHead(200, []);
        body.pipe({ onData: (chunk) => sink.onData(chunk), onEnd: (trailers) => sink.onEnd(trailers) });
      }),
    );
    const received = createHash("sha1");
    await new Promise<void>((resolve, reject) => {
      const asked = request({ port: port.port, method: "POST", agent: false });
      asked.on("error", reject);
      asked.on("response", (response) => {
        response.on("data", (chunk: Buffer) => received.update(chunk));
        // Reads nothing until somebody had to wait.
        if (paused === 0) response.pause();
        waited = () => response.resume();
        response.on("end", resolve);
      });
      asked.end(sent);
    });
    expect(received.digest("hex")).toBe(createHash("sha1").update(sent).digest("hex"));
    expect(paused).toBeGreaterThan(0);
  });

  test("trailers arrive", async () => {
    const port = await start(
      serviceOf((_, sink) => {
        sink.onHead(200, []);
        sink.onData(Buffer.from("hi"));
        sink.onEnd(["x-sum", "1"]);
      }),
    );
    expect((await ask(port.port, false)).trailers).toEqual({ "x-sum": "1" });
  });
});

describe("back pressure", () => {
  test("a client that doesn't read stops the response, and starts it again", async () => {
    let paused = false;
    let written = 0;
    let write = () => {};
    const total = 64 << 20;
    const port = await start(
      serviceOf((x, sink) => {
        write = () => {
          while (!paused && written < total) {
            written += 65_536;
            sink.onData(Buffer.alloc(65_536));
          }
          if (written === total) {
            written++;
            sink.onEnd(null);
          }
        };
        x.flow = {
          abort() {},
          pause() {
            paused = true;
          },
          resume() {
            paused = false;
            write();
          },
        };
        sink.onHead(200, ["content-length", String(total)]);
        write();
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.socket.removeAllListeners("data");
    peer.socket.pause();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while (!paused) await turn();
    for (let i = 0; i < 50; i++) await turn();
    expect(written).toBeLessThan(total / 2);
    let read = 0;
    peer.socket.on("data", (chunk: Buffer) => {
      read += chunk.length;
    });
    peer.socket.resume();
    await peer.toEnd();
    expect(read).toBeGreaterThan(total);
  });

  test("a body that nobody has taken, or that is paused, isn't read", async () => {
    let x: Exchange | undefined;
    let sink: Sink | undefined;
    const port = await start(
      serviceOf((x1, sink1) => {
        x = x1;
        sink = sink1;
      }),
    );
    const peer = await RawPeer.open(port.port);
    const total = 32 << 20;
    peer.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${total}\r\n\r\n`);
    peer.socket.write(Buffer.alloc(total));
    while (x === undefined) await turn();
    for (let i = 0; i < 100; i++) await turn();
    expect(peer.socket.writableLength).toBeGreaterThan(0);
    let read = 0;
    const body = x.body as Body;
    expect(body.length).toBe(total);
    body.pipe({
      onData(chunk) {
        read += chunk.length;
        if (read > 1 << 20 && read < 2 << 20) {
          body.pause();
          setTimeout(() => body.resume(), 1);
        }
      },
      onEnd() {
        sink?.onHead(204, []);
        sink?.onEnd(null);
      },
    });
    await peer.until((text) => text.includes("204"));
    expect(read).toBe(total);
  });

  test("a client that pipelines and doesn't read gets no more than a few responses made", async () => {
    let calls = 0;
    const port = await start(
      serviceOf((_, sink) => {
        calls++;
        sink.onHead(200, ["content-length", "100000"]);
        sink.onData(Buffer.alloc(100_000));
        sink.onEnd(null);
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.socket.removeAllListeners("data");
    peer.socket.pause();
    peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000));
    while (calls === 0) await turn();
    for (let i = 0; i < 200; i++) await turn();
    expect(calls).toBeLessThan(200);
    peer.socket.destroy();
  });
});

describe("a response that comes before the request's end", () => {
  const early = serviceOf((_, sink) => {
    sink.onHead(413, ["content-length", "0"]);
    sink.onEnd(null);
  });
  const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

  test("leaves a connection that goes on when the rest is small, and doesn't read it as a request", async () => {
    const paths: string[] = [];
    const port = await start(
      serviceOf((x, sink) => {
        paths.push(x.path);
        early.call(x, sink);
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.send(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`);
    peer.send("GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect((await peer.toEnd()).match(/413/g)).toHaveLength(2);
    expect(paths).toEqual(["/1", "/2"]);
  });

  test("ends the connection when the rest is large, and the response still arrives", async () => {
    let calls = 0;
    const port = await start(
      serviceOf((x, sink) => {
        calls++;
        early.call(x, sink);
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${10 << 20}\r\n\r\n`);
    peer.socket.write(Buffer.alloc(10 << 20, smuggled));
    expect(await peer.toEnd()).toContain("413");
    expect([calls, port.protections]).toEqual([1, ["h1-unread-body"]]);
    peer.socket.destroy();
  });

  test.each<[string, string, number, boolean]>([
    ["a rest that is unknown", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 413, true],
    ["a rest that is large", `Content-Length: ${65_542}\r\n\r\nhello`, 413, true],
    ["a rest that is small", `Content-Length: ${65_541}\r\n\r\nhello`, 413, false],
    ["a rest that is unknown, but no refusal", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, false],
  ])("says so when it refuses with %s, which ends the connection", async (_, request, status, closes) => {
    const port = await start(
      serviceOf((x, sink) => {
        x.body?.pipe({
          onData() {
            sink.onHead(status, ["content-length", "0"]);
            sink.onEnd(null);
          },
          onEnd() {},
        });
      }),
    );
    const peer = await RawPeer.open(port.port);
    peer.send(`POST / HTTP/1.1\r\nHost: a\r\n${request}`);
    await peer.until((text) => text.includes("\r\n\r\n"));
    expect(peer.received).toContain(`HTTP/1.1 ${status} `);
    expect(peer.received.includes("Connection: close\r\n")).toBe(closes);
    peer.socket.destroy();
  });

  test("a cancelled body is read over, up to the limit", async () => {
    const sinks: Sink[] = [];
    const port = await start(
      serviceOf((x, sink) => {
        x.body?.cancel();
        sinks.push(sink);
      }),
      { maxDiscardBytes: 1000 },
    );
    const small = await RawPeer.open(port.port);
    small.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n${"x".repeat(900)}`);
    while (sinks.length < 1) await turn();
    sinks[0]?.onHead(204, []);
    sinks[0]?.onEnd(null);
    await small.until((text) => text.includes("204"));
    expect(small.received).not.toContain("Connection: close");
    const large = await RawPeer.open(port.port);
    large.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n${"x".repeat(9000)}`);
    while (port.protections.length === 0) await turn();
    sinks[1]?.onHead(204, []);
    sinks[1]?.onEnd(null);
    expect(await large.toEnd()).toContain("Connection: close");
  });
});

describe("deadlines", () => {
  /** A server whose time passes when the test says so. */
  async function timed(service: Service) {
    let now = 0;
    const port = await start(service, {
      now: () => now,
      headTimeoutMs: 1000,
      idleTimeoutMs: 1000,
      bodyTimeoutMs: 1000,
      discardTimeoutMs: 1000,
      stallTimeoutMs: 1000,
    });
    // Ticks are real; a deadline is fixed at the first tick after it was set.
    const pass = setInterval(() => {
      now += 400;
    }, 20);
    opened.push({ close: () => clearInterval(pass) });
    return port;
  }

  test("a head that doesn't end gets 408", async () => {
    const port = await timed(echo);
    const peer = await RawPeer.open(port.port);
    const drip = setInterval(() => peer.send("x"), 20);
    expect(await peer.send("GET / HTTP/1.1\r\nHost: a\r\nA: ").toEnd()).toContain("408");
    clearInterval(drip);
    expect(port.protections).toEqual(["h1-head-timeout"]);
  });

  test("a second head that doesn't end gets 408, too", async () => {
    const port = await timed(echo);
    const peer = await RawPeer.open(port.port);
    await peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").until((text) => text.includes("GET a /"));
    expect(await peer.send("GET").toEnd()).toContain("408");
  });

  test("a body that stops coming gets 408, and its exchange is aborted", async () => {
    let reason = "";
    const port = await timed(
      serviceOf((x, sink) => {
        x.flow = {
          abort(error) {
            reason = error.code;
            sink.onError(error);
          },
          pause() {},
          resume() {},
        };
        x.body?.pipe(new RecordingBodySink());
      }),
    );
    const peer = await RawPeer.open(port.port);
    expect(await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi").toEnd()).toContain("408");
    expect([reason, port.protections]).toEqual(["SELVAGE_ERR_TIMEOUT", ["h1-body-timeout"]]);
  });

  test("connections that are idle, or say nothing at all, are closed without a word", async () => {
    const port = await timed(echo);
    const silent = await RawPeer.open(port.port);
    const idle = await RawPeer.open(port.port);
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(await silent.toEnd()).toBe("");
    expect((await idle.toEnd()).match(/HTTP/g)).toHaveLength(1);
    expect(port.protections).toEqual([]);
  });

  test("the rest of a body that nobody wants isn't awaited for long", async () => {
    const port = await timed(
      serviceOf((_, sink) => {
        sink.onHead(204, []);
        sink.onEnd(null);
      }),
    );
    const peer = await RawPeer.open(port.port);
    expect(await peer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhi").toEnd()).toContain("204");
    expect(port.protections).toEqual(["h1-unread-body"]);
  });

  test("a client that reads nothing of a large response is given up", async () => {
    let aborted = "";
    const done = new Promise<void>((resolve) => {
      timed(
        serviceOf((x, sink) => {
          x.flow = {
            abort(error) {
              aborted = error.code;
              sink.onError(error);
              resolve();
            },
            pause() {},
            resume() {},
          };
          sink.onHead(200, []);
          sink.onData(Buffer.alloc(32 << 20));
        }),
      ).then(async (port) => {
        const peer = await RawPeer.open(port.port);
        peer.socket.removeAllListeners("data");
        peer.socket.pause();
        peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      });
    });
    await done;
    expect(aborted).toBe("SELVAGE_ERR_ABORTED");
  });
});
