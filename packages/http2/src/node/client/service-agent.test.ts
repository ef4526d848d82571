import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import http, { type IncomingMessage, type RequestOptions } from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import { isExchangeError, transportError } from "../../exchange-error.js";
import { seamSymbols } from "./seam-probe.js";
import { ServiceAgent, type ServiceAgentOptions } from "./service-agent.js";
import { type PlayedExchange, playEcho, TestingService } from "./testing-service.js";

interface Echo {
  method: string;
  path: string;
  authority: string;
  scheme: string;
  headers: string[];
  body: string;
}

const modes = [
  { mode: "through the seam", asText: false },
  { mode: "as text", asText: true },
];

async function textOf(res: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of res) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

it("the seam works on this Node", () => {
  expect(seamSymbols()).not.toBeNull();
});

describe.each(modes)("an agent $mode", ({ asText }) => {
  function make(play: (e: PlayedExchange) => void, options?: ServiceAgentOptions): [ServiceAgent, TestingService] {
    const service = new TestingService(play);
    return [new ServiceAgent(service, { asText, ...options }), service];
  }

  async function send(agent: http.Agent, options: RequestOptions, body?: string | Buffer): Promise<IncomingMessage> {
    const module = (agent as ServiceAgent).protocol === "https:" ? https : http;
    const req = module.request({ agent, host: "a.shop", path: "/", ...options });
    req.end(body);
    const [res] = (await once(req, "response")) as [IncomingMessage];
    return res;
  }

  async function echo(agent: http.Agent, options: RequestOptions, body?: string | Buffer): Promise<Echo> {
    return JSON.parse(await textOf(await send(agent, options, body))) as Echo;
  }

  it("takes http and https requests, each by its own agent", async () => {
    const [plain] = make(playEcho);
    const [secure] = make(playEcho, { protocol: "https:" });
    expect(await echo(plain, { path: "/a?b=1" })).toMatchObject({
      scheme: "http",
      authority: "a.shop",
      path: "/a?b=1",
      method: "GET",
    });
    expect(await echo(secure, { port: 443 })).toMatchObject({ scheme: "https", authority: "a.shop" });
    expect(await echo(secure, { port: 8443 })).toMatchObject({ authority: "a.shop:8443" });
    expect(() => http.request({ agent: secure, host: "a.shop" })).toThrow(/Protocol "http:" not supported/);
  });

  it("may be the global agent", async () => {
    const before = http.globalAgent;
    [http.globalAgent] = make(playEcho);
    try {
      const [res] = (await once(http.get("http://b.shop:81/x"), "response")) as [IncomingMessage];
      expect(JSON.parse(await textOf(res))).toMatchObject({ authority: "b.shop:81", path: "/x" });
    } finally {
      http.globalAgent = before;
    }
  });

  it("gives genuine responses", async () => {
    const [agent] = make((e) =>
      e.respond(203, ["x-a", "1", "set-cookie", "a=1", "set-cookie", "b=2", "x-a", "2"], "text"),
    );
    const res = await send(agent, {});
    expect(res).toBeInstanceOf(http.IncomingMessage);
    expect([res.statusCode, res.statusMessage, res.httpVersion]).toEqual([203, "Non-Authoritative Information", "1.1"]);
    expect(res.headers).toMatchObject({ "x-a": "1, 2", "set-cookie": ["a=1", "b=2"] });
    expect(await textOf(res)).toBe("text");
    expect(res.complete).toBe(true);
  });

  it.each([
    ["a buffer", (req: http.ClientRequest) => req.end(Buffer.from("body"))],
    ["a string", (req: http.ClientRequest) => req.end("body")],
    ["latin1", (req: http.ClientRequest) => req.end("body", "latin1")],
    [
      "parts",
      (req: http.ClientRequest) => {
        req.write("bo");
        setImmediate(() => req.end("dy"));
      },
    ],
    ["a pipe", (req: http.ClientRequest) => Readable.from(["bo", "dy"]).pipe(req)],
    [
      "corked parts",
      (req: http.ClientRequest) => {
        req.cork();
        req.write("bo");
        req.write("dy");
        req.uncork();
        req.end();
      },
    ],
  ])("sends %s", async (_name, write) => {
    const [agent] = make(playEcho);
    const req = http.request({ agent, host: "a.shop", method: "POST" });
    write(req);
    const [res] = (await once(req, "response")) as [IncomingMessage];
    expect((JSON.parse(await textOf(res)) as Echo).body).toBe("body");
  });

  it("declares the length that is known, and none that isn't", async () => {
    const [agent, service] = make(playEcho);
    await echo(agent, { method: "POST" }, "four");
    expect(service.last.header("content-length")).toBe("4");
    await echo(agent, { method: "POST" });
    expect([service.last.header("content-length"), service.last.x.body]).toEqual(["0", null]);
    await echo(agent, { method: "GET" });
    expect([service.last.header("content-length"), service.last.x.body]).toEqual([undefined, null]);
    const req = http.request({ agent, host: "a.shop", method: "POST" });
    req.write("parts");
    req.end();
    await textOf(((await once(req, "response")) as [IncomingMessage])[0]);
    expect([service.last.header("content-length"), service.last.x.body?.length, service.last.text]).toEqual([
      undefined,
      -1,
      "parts",
    ]);
    expect(service.last.x.headers).not.toContain("transfer-encoding");
  });

  it("takes headers as object and as array, without those of the connection", async () => {
    const [agent, service] = make(playEcho);
    await echo(agent, {
      headers: { "X-A": "1", "x-n": 4, cookie: ["a=1", "b=2"], Connection: "keep-alive, X-Hop", "x-hop": "1" },
    });
    expect(service.last.header("cookie")).toBe("a=1; b=2");
    expect([service.last.header("x-a"), service.last.header("x-n")]).toEqual(["1", "4"]);
    for (const name of ["connection", "x-hop", "keep-alive"]) expect(service.last.header(name)).toBeUndefined();
    const flat = ["Host", "c.shop", "X-B", "1", "x-b", "2"] as unknown as http.OutgoingHttpHeaders;
    const { authority, headers } = await echo(agent, { method: "PUT", headers: flat }, "body");
    expect(authority).toBe("c.shop");
    expect(headers.join("|")).toContain("x-b|1|x-b|2");
    expect(service.last.text).toBe("body");
    expect(service.last.x.headerCase?.get("x-b")).toBe("X-B");
  });

  it("lets host decide the authority, and keeps IPv6 in brackets", async () => {
    const [agent] = make(playEcho);
    expect((await echo(agent, { headers: { host: "other.shop:99" } })).authority).toBe("other.shop:99");
    expect((await echo(agent, { host: "::1", port: 81 })).authority).toBe("[::1]:81");
  });

  it("takes an absolute-form target, as clients of a proxy send", async () => {
    const [agent, service] = make(playEcho);
    expect(await echo(agent, { path: "http://b.shop/x" })).toMatchObject({ authority: "b.shop", path: "/x" });
    expect(service.last.x.absoluteForm).toBe(true);
  });

  it("carries trailers both ways", async () => {
    const [agent, service] = make((e) =>
      e.whenReceived(() => {
        e.head(200, ["trailer", "x-t"]);
        e.data("body");
        e.end(["x-t", "down"]);
      }),
    );
    const req = http.request({
      agent,
      host: "a.shop",
      method: "POST",
      headers: { trailer: "x-up", "transfer-encoding": "chunked" },
    });
    req.write("body");
    req.addTrailers({ "X-Up": "up" });
    req.end();
    const [res] = (await once(req, "response")) as [IncomingMessage];
    await textOf(res);
    expect(res.trailers).toEqual({ "x-t": "down" });
    expect(service.last.receivedTrailers).toEqual(["x-up", "up"]);
  });

  it("stops a fast writer when the peer reads slowly", async () => {
    const service = new TestingService((e) => {
      e.x.body?.pause();
      e.readBody();
    }, false);
    const agent = new ServiceAgent(service, { asText });
    const req = http.request({ agent, host: "a.shop", method: "POST" });
    let written = 0;
    const chunk = Buffer.alloc(16_384);
    while (req.write(chunk)) written++;
    expect(written).toBeLessThan(20);
    const drained = once(req, "drain");
    while (service.played.length === 0) await new Promise((resolve) => setImmediate(resolve));
    service.last.x.body?.resume();
    await drained;
    req.end();
    await new Promise<void>((resolve) => service.last.whenReceived(resolve));
    expect(Buffer.concat(service.last.received).byteLength).toBe((written + 1) * chunk.byteLength);
    req.destroy();
    req.on("error", () => {});
  });

  it("stops a fast peer when the application reads slowly", async () => {
    let left = 64;
    const [agent, service] = make((e) => {
      e.head(200);
      const pump = (): void => {
        while (left > 0 && !e.paused) {
          left--;
          e.data(Buffer.alloc(65_536));
        }
        if (left === 0) e.end();
      };
      e.onResume = pump;
      pump();
    });
    const res = await send(agent, {});
    expect(left).toBeGreaterThan(32);
    let bytes = 0;
    await pipeline(res, new PassThrough(), async (source) => {
      for await (const chunk of source) bytes += (chunk as Buffer).byteLength;
    });
    expect(bytes).toBe(64 * 65_536);
    expect(service.last.pauses).toBeGreaterThan(0);
  });

  it("emits the exchange's own error where there is no response", async () => {
    const failure = transportError("SELVAGE_ERR_CONNECT", "no route", "peer", "unsent");
    const [agent] = make((e) => e.fail(failure));
    const error = await send(agent, {}).catch((reason: unknown) => reason);
    expect(error).toBe(failure);
    expect(isExchangeError(error)).toBe(true);
  });

  it("fails the response that breaks off", async () => {
    const [agent, service] = make((e) => {
      e.head(200, ["content-length", "10"]);
      e.data("part");
    });
    const res = await send(agent, {});
    (res as unknown as { req: http.ClientRequest }).req.on("error", () => {});
    const read = textOf(res);
    service.last.fail(transportError("SELVAGE_ERR_RESET", "reset"));
    await expect(read).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(res.aborted).toBe(true);
  });

  it("aborts the exchange with the request, by signal, destroy and agent.destroy", async () => {
    for (const how of ["signal", "destroy", "agent"]) {
      const [agent, service] = make(() => {});
      const abort = new AbortController();
      const req = http.request({ agent, host: "a.shop", signal: abort.signal });
      const closed = new Promise((resolve) => req.once("close", resolve));
      const failed = once(req, "error");
      req.end();
      while (service.played.length === 0) await new Promise((resolve) => setImmediate(resolve));
      if (how === "signal") abort.abort();
      else if (how === "destroy") req.destroy();
      else agent.destroy();
      const [error] = (await failed) as [NodeJS.ErrnoException];
      expect(error.code).toBe(how === "signal" ? "ABORT_ERR" : "ECONNRESET");
      await closed;
      while (service.last.abortedWith === null) await new Promise((resolve) => setImmediate(resolve));
      expect(service.last.abortedWith.origin).toBe("caller");
    }
  });

  it("keeps the context of the one who asked", async () => {
    const storage = new AsyncLocalStorage<number>();
    const [agent, service] = make(() => {});
    const seen: unknown[] = [];
    const done = [1, 2].map(
      (id) =>
        new Promise<void>((resolve) => {
          storage.run(id, () => {
            http.get({ agent, host: "a.shop" }, (res) => {
              seen.push(["response", storage.getStore()]);
              res.on("data", () => seen.push(["data", storage.getStore()]));
              res.on("end", () => {
                seen.push(["end", storage.getStore()]);
                resolve();
              });
            });
          });
        }),
    );
    while (service.played.length < 2) await new Promise((resolve) => setImmediate(resolve));
    for (const e of service.played) e.respond(200, [], "x");
    await Promise.all(done);
    expect(seen.filter((event) => (event as unknown[])[1] === 1).length).toBe(3);
    expect(seen.filter((event) => (event as unknown[])[1] === 2).length).toBe(3);
  });

  it("connects a tunnel", async () => {
    const [agent, service] = make((e) => {
      e.head(200);
      e.x.body?.pipe({ onData: (chunk) => e.data(chunk), onEnd: () => e.end() });
    });
    const req = http.request({ agent, host: "proxy.shop", method: "CONNECT", path: "db.shop:5432" });
    req.end();
    const [res, socket] = (await once(req, "connect")) as [
      IncomingMessage,
      NodeJS.ReadWriteStream & { end(data: string): void },
    ];
    expect(res.statusCode).toBe(200);
    expect([service.last.x.authority, service.last.x.path]).toEqual(["db.shop:5432", ""]);
    socket.end("ping");
    const [data] = (await once(socket, "data")) as [Buffer];
    expect(data.toString()).toBe("ping");
  });

  it("runs many requests at once", async () => {
    const [agent] = make((e) => setImmediate(() => e.respond(200, [], e.x.path)));
    const paths = Array.from({ length: 50 }, (_, i) => `/item/${i}`);
    expect(await Promise.all(paths.map(async (path) => textOf(await send(agent, { path }))))).toEqual(paths);
  });

  it("leaves requests to a unix socket alone", async () => {
    const socketPath = join(tmpdir(), `selvage-agent-${process.pid}-${asText}.sock`);
    const server = http.createServer((_req, res) => res.end("from the socket")).listen(socketPath);
    await once(server, "listening");
    const [agent, service] = make(playEcho);
    try {
      expect(await textOf(await send(agent, { socketPath }))).toBe("from the socket");
      expect(service.played.length).toBe(0);
    } finally {
      agent.destroy();
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("through the seam", () => {
  it("refuses a body of another length than declared", async () => {
    for (const declared of [2, 9]) {
      const service = new TestingService(() => {});
      const req = http.request({
        agent: new ServiceAgent(service),
        host: "a.shop",
        method: "POST",
        headers: { "content-length": declared },
      });
      req.end("four");
      const [error] = (await once(req, "error")) as [NodeJS.ErrnoException];
      expect(error.code).toBe("ERR_HTTP_CONTENT_LENGTH_MISMATCH");
      expect(service.last.abortedWith?.origin).toBe("caller");
    }
  });

  it("refuses targets and headers that can't be sent, by an error event or where they are set", async () => {
    const agent = new ServiceAgent(new TestingService(playEcho));
    const relative = http.request({ agent, host: "a.shop", path: "x" });
    relative.end();
    expect((await once(relative, "error"))[0]).toMatchObject({ code: "ERR_INVALID_ARG_VALUE" });
    const req = http.request({ agent, host: "a.shop", headers: { "transfer-encoding": "gzip" } });
    expect(() => req.end()).toThrow("invalid transfer-encoding header");
    req.on("error", () => {}).destroy();
  });

  it("keeps what a listener throws out of the transport", async () => {
    const service = new TestingService(() => {});
    const thrown = new Promise((resolve) => {
      const listeners = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    const bug = new Error("bug");
    const req = http.get({ agent: new ServiceAgent(service), host: "a.shop" }, () => {
      throw bug;
    });
    await once(req, "finish");
    expect(() => service.last.head(200)).not.toThrow();
    expect(await thrown).toBe(bug);
  });

  it("publishes on Node's diagnostics channels", async () => {
    const { subscribe, unsubscribe } = await import("node:diagnostics_channel");
    const seen: string[] = [];
    const names = ["http.client.request.start", "http.client.response.finish", "http.client.request.error"];
    const listeners = names.map((name) => {
      const listener = (): void => {
        seen.push(name);
      };
      subscribe(name, listener);
      return listener;
    });
    const ok = new ServiceAgent(new TestingService((e) => e.respond(200)));
    await once(
      http.get({ agent: ok, host: "a.shop" }).on("response", (res) => res.resume()),
      "close",
    );
    const bad = new ServiceAgent(new TestingService((e) => e.fail(transportError("SELVAGE_ERR_CLOSED", "closed"))));
    await once(http.get({ agent: bad, host: "a.shop" }), "error");
    names.forEach((name, i) => {
      unsubscribe(name, listeners[i]!);
    });
    expect(seen).toEqual([names[0], names[1], names[0], names[2]]);
  });
});
