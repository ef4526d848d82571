import { randomBytes } from "node:crypto";
import { type ClientHttp2Session, connect, createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { transportError } from "../exchange-error.js";
import { bodyOf, echo, Net, request, send, serviceOf, type Taken } from "./test-exchanges.js";

let net: Net;
let client: ClientHttp2Session | null = null;
let server: Http2Server | null = null;
beforeEach(() => {
  net = new Net();
});
afterEach(async () => {
  client?.destroy();
  client = null;
  server?.close();
  server = null;
  await net.close();
});

interface Reply {
  status: number;
  headers: Record<string, unknown>;
  body: Buffer;
  trailers: Record<string, unknown>;
  code: number;
}

function ask(headers: Record<string, string>, body?: Buffer, trailers?: Record<string, string>): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const stream = client!.request(headers, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    const reply: Reply = { status: 0, headers: {}, body: Buffer.alloc(0), trailers: {}, code: 0 };
    const chunks: Buffer[] = [];
    stream.on("response", (head) => {
      reply.status = Number(head[":status"]);
      reply.headers = head;
    });
    stream.on("trailers", (tail) => {
      reply.trailers = tail;
    });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers!));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      reply.body = Buffer.concat(chunks);
      reply.code = stream.rstCode;
      resolve(reply);
    });
    if (body !== undefined) stream.end(body);
  });
}

async function dial(port: number, settings = {}): Promise<void> {
  client = connect(`http://127.0.0.1:${port}`, { settings });
  client.on("error", () => {});
  await new Promise((resolve) => client!.once("remoteSettings", resolve));
}

async function nodeServer(
  onStream: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
  settings = {},
) {
  server = createServer({ settings });
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

describe("node's HTTP/2 client and our server", () => {
  it("understand each other's heads", async () => {
    await dial(await net.serve(echo));
    const good = await ask({ ":path": "/a%20b?x=1", ":authority": "shop.test:80", cookie: "a=1; b=2" });
    expect(JSON.parse(decodeURIComponent(String(good.headers["x-head"])))).toMatchObject({
      path: "/a%20b?x=1",
      authority: "shop.test:80",
      headers: ["cookie", "a=1; b=2"],
    });
  });

  it.each([
    ["default windows", {}],
    ["a small window", { initialWindowSize: 1_000 }],
    ["large frames", { maxFrameSize: 1_000_000, initialWindowSize: 5_000_000 }],
    ["no HPACK table", { headerTableSize: 0 }],
  ])("carry large bodies with %s", async (_name, settings) => {
    await dial(await net.serve(echo), settings);
    const data = randomBytes(2_000_000);
    const replies = await Promise.all([1, 2, 3].map(() => ask({ ":method": "POST", ":path": "/" }, data)));
    for (const reply of replies) expect(reply.body.equals(data)).toBe(true);
  });

  it("carry trailers both ways", async () => {
    const port = await net.serve(
      serviceOf((taken) => {
        taken.whenEnded = () => {
          taken.sink.onHead(200, []);
          taken.sink.onData(Buffer.from("x"));
          taken.sink.onEnd(taken.trailers);
        };
        taken.x.body!.pipe(taken);
      }),
    );
    await dial(port);
    const reply = await ask({ ":method": "POST", ":path": "/" }, Buffer.from("b"), { "x-check": "9" });
    expect(reply.trailers["x-check"]).toBe("9");
  });

  it("handle many streams on one connection", async () => {
    await dial(await net.serve(echo));
    const replies = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) =>
        ask({ ":method": "PUT", ":path": `/${index}` }, Buffer.from(`${index}`)),
      ),
    );
    replies.forEach((reply, index) => {
      expect(reply.body.toString()).toBe(String(index));
    });
  });

  it("a reset reaches the holder", async () => {
    let take: (taken: Taken) => void = () => {};
    const taken = new Promise<Taken>((resolve) => {
      take = resolve;
    });
    await dial(await net.serve(serviceOf((one) => take(one))));
    const stream = client!.request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => {});
    const one = await taken;
    const aborted = new Promise<void>((resolve) => {
      one.whenAborted = resolve;
    });
    stream.close(8);
    await aborted;
    expect(one.aborted?.code).toBe("SELVAGE_ERR_ABORTED");
  });

  it("an early answer to an unfinished upload arrives whole", async () => {
    const port = await net.serve(
      serviceOf(({ sink }) => {
        sink.onHead(413, []);
        sink.onData(Buffer.from("too much"));
        sink.onEnd(null);
      }),
    );
    await dial(port);
    const reply = await ask({ ":method": "POST", ":path": "/" }, Buffer.alloc(5_000_000));
    expect([reply.status, reply.body.toString(), reply.code]).toEqual([413, "too much", 0]);
  });

  it("an extended CONNECT opens a tunnel", async () => {
    const port = await net.serve(
      serviceOf((taken) => {
        taken.sink.onHead(200, ["x-protocol", taken.header("upgrade")!]);
        taken.onChunk = (chunk) => taken.sink.onData(chunk);
        taken.whenEnded = () => taken.sink.onEnd(null);
        taken.x.body!.pipe(taken);
      }),
    );
    await dial(port);
    const stream = client!.request(
      { ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ":scheme": "http", ":authority": "a" },
      { endStream: false },
    );
    const head = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
    expect(head["x-protocol"]).toBe("websocket");
    stream.write("ping");
    const chunk = await new Promise<Buffer>((resolve) => stream.once("data", resolve));
    expect(chunk.toString()).toBe("ping");
    stream.end();
    await new Promise((resolve) => stream.once("close", resolve));
  });
});

describe("our client and node's HTTP/2 server", () => {
  it.each([
    ["default settings", {}],
    ["a window of 65,535 and few streams", { initialWindowSize: 65_535, maxConcurrentStreams: 7 }],
    ["a window of 100 bytes", { initialWindowSize: 100 }],
    ["no HPACK table", { headerTableSize: 0 }],
  ])("carry bodies and trailers with %s", async (_name, settings) => {
    const port = await nodeServer((stream, headers) => {
      stream.respond({ ":status": 200, "x-path": String(headers[":path"]) }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "1" }));
      stream.pipe(stream);
    }, settings);
    const { session } = await net.client(port);
    const size = "initialWindowSize" in settings && settings.initialWindowSize === 100 ? 20_000 : 1_000_000;
    for (let round = 0; round < 3; round += 1) {
      const data = randomBytes(size);
      const answers = [1, 2, 3].map((n) => {
        const body = bodyOf([data.subarray(0, 10), data.subarray(10)]);
        return send(session, request({ method: "POST", path: `/${round}/${n}`, body, headers: ["x-r", `${round}`] }))
          .done;
      });
      for (const answer of await Promise.all(answers)) {
        expect(answer.error).toBeNull();
        expect(answer.body.equals(data)).toBe(true);
        expect(answer.trailers).toEqual(["x-end", "1"]);
      }
    }
  });

  it("tells a refused stream from a reset one", async () => {
    const port = await nodeServer((stream, headers) => stream.close(headers[":path"] === "/refuse" ? 7 : 2));
    const { session } = await net.client(port);
    expect((await send(session, request({ path: "/refuse" })).done).error).toMatchObject({ progress: "refused" });
    expect((await send(session, request({ path: "/reset" })).done).error).toMatchObject({
      code: "SELVAGE_ERR_RESET",
      progress: "processed",
    });
  });

  it("drains on GOAWAY and finishes what is open", async () => {
    const port = await nodeServer((stream) => {
      stream.session!.goaway(0);
      stream.respond({ ":status": 200 });
      setImmediate(() => stream.end("done"));
    });
    const { session, watcher } = await net.client(port);
    const answer = await send(session, request()).done;
    expect(answer.body.toString()).toBe("done");
    expect(watcher.events).toContain("draining");
    await watcher.closed;
  });

  it("pauses what it doesn't take", async () => {
    const port = await nodeServer((stream) => {
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(4_000_000, 7));
    });
    const { session } = await net.client(port, { streamWindowBytes: 100_000 });
    const x = request();
    const answer = send(session, x);
    await answer.headed;
    x.flow.pause();
    const other = request();
    const cancelled = send(session, other);
    await cancelled.headed;
    other.flow.abort(transportError("SELVAGE_ERR_ABORTED", "no", "caller"));
    expect(answer.body.length).toBeLessThan(100_000);
    x.flow.resume();
    await answer.done;
    expect(answer.body.length).toBe(4_000_000);
  });

  it("opens a tunnel by extended CONNECT where the server takes it", async () => {
    const port = await nodeServer(
      (stream, headers) => {
        stream.respond({ ":status": 200, "x-protocol": String(headers[":protocol"]) });
        stream.pipe(stream);
      },
      { enableConnectProtocol: true },
    );
    const { session } = await net.client(port);
    const body = bodyOf([Buffer.from("in the tunnel")]);
    const x = request({ method: "CONNECT", tunnel: true, path: "/chat", headers: ["upgrade", "websocket"], body });
    const answer = await send(session, x).done;
    expect(answer.header("x-protocol")).toBe("websocket");
    expect(answer.body.toString()).toBe("in the tunnel");
  });

  it("does not try extended CONNECT where the server does not take it", async () => {
    const { session } = await net.client(await nodeServer(() => {}));
    const x = request({ method: "CONNECT", tunnel: true, headers: ["upgrade", "websocket"], body: bodyOf([]) });
    expect(send(session, x).error).toMatchObject({ code: "SELVAGE_ERR_REFUSED", progress: "unsent" });
  });
});
