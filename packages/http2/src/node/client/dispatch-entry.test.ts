import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { WebSocket } from "undici";
import { describe, expect, it } from "vitest";
import { Exchange } from "../../exchange.js";
import { transportError } from "../../exchange-error.js";
import { DispatchEntry, type DispatchOptions } from "./dispatch-entry.js";
import type { CallbackHandler, ControllerHandler, DispatchController } from "./dispatch-handler.js";
import type { DispatchRequest } from "./dispatch-request.js";
import { ServiceDispatcher } from "./service-dispatcher.js";
import { type PlayedExchange, playEcho, TestingService } from "./testing-service.js";
import { Timeouts } from "./timeouts.js";

const get: DispatchRequest = { origin: "http://a.shop", path: "/", method: "GET" };

function pairs(raw: readonly Buffer[]): string[] {
  return raw.map((bytes) => bytes.toString("latin1"));
}

/** A handler of the old dialect that logs its calls. */
class Callbacks implements CallbackHandler {
  readonly log: unknown[] = [];
  answer: boolean | undefined = true;
  abort: (reason?: Error) => void = () => {};
  resume: () => void = () => {};
  onConnect(abort: (reason?: Error) => void): void {
    this.abort = abort;
    this.log.push("connect");
  }
  onHeaders(status: number, headers: Buffer[], resume: () => void, text: string): boolean | undefined {
    this.resume = resume;
    this.log.push(["headers", status, text, ...pairs(headers)]);
    return this.answer;
  }
  onData(chunk: Buffer): boolean | undefined {
    this.log.push(["data", chunk.toString()]);
    return this.answer;
  }
  onComplete(trailers: Buffer[]): void {
    this.log.push(["complete", ...pairs(trailers)]);
  }
  onError(error: Error): void {
    this.log.push(["error", error]);
  }
}

/** A handler of the new dialect that logs its calls. */
class Controlled implements ControllerHandler {
  readonly log: unknown[] = [];
  controller!: DispatchController;
  onRequestStart(controller: DispatchController): void {
    this.controller = controller;
    this.log.push("start");
  }
  onResponseStart(controller: DispatchController, status: number, headers: object): void {
    this.log.push(["head", status, headers, pairs(controller.rawHeaders!)]);
  }
  onResponseData(_controller: DispatchController, chunk: Buffer): void {
    this.log.push(["data", chunk.toString()]);
  }
  onResponseEnd(controller: DispatchController, trailers: object): void {
    this.log.push(["end", trailers, pairs(controller.rawTrailers!)]);
  }
  onResponseError(_controller: DispatchController, error: Error): void {
    this.log.push(["error", error]);
  }
}

function entry(play: (e: PlayedExchange) => void, options?: DispatchOptions): [DispatchEntry, TestingService] {
  const service = new TestingService(play);
  return [new DispatchEntry(service, options), service];
}

class Hand {
  at = 0;
  #timers: { at: number; callback: () => void }[] = [];
  readonly timeouts = new Timeouts(
    () => this.at,
    (callback, delayMs) => this.#timers.push({ at: this.at + delayMs, callback }),
  );
  pass(ms: number): void {
    const end = this.at + ms;
    for (;;) {
      this.#timers.sort((a, b) => a.at - b.at);
      const next = this.#timers[0];
      if (next === undefined || next.at > end) break;
      this.#timers.shift();
      this.at = next.at;
      next.callback();
    }
    this.at = end;
  }
}

describe("a handler of the old dialect", () => {
  it("gets Buffer pairs, informational heads, data and trailers", () => {
    const [via] = entry((e) => {
      e.informational(103, ["link", "</a>"]);
      e.head(200, ["x-a", "é"]);
      e.data("body");
      e.end(["x-t", "1"]);
    });
    const handler = new Callbacks();
    expect(via.dispatch(get, handler)).toBe(true);
    expect(handler.log).toEqual([
      "connect",
      ["headers", 103, "Early Hints", "link", "</a>"],
      ["headers", 200, "OK", "x-a", "é"],
      ["data", "body"],
      ["complete", "x-t", "1"],
    ]);
  });

  it("pauses by false, though not from a 1xx head, and resumes", () => {
    const [via, service] = entry(() => {});
    const handler = new Callbacks();
    handler.answer = false;
    via.dispatch(get, handler);
    service.last.informational(102);
    expect(service.last.paused).toBe(false);
    service.last.head(200);
    expect(service.last.paused).toBe(true);
    handler.resume();
    handler.resume();
    expect(service.last.paused).toBe(false);
    service.last.data("x");
    expect(service.last.pauses).toBe(2);
  });

  it("may abort in onConnect, and nothing is sent", () => {
    const [via, service] = entry(playEcho);
    const why = new Error("changed my mind");
    const handler = new Callbacks();
    handler.onConnect = (abort) => abort(why);
    via.dispatch(get, handler);
    expect(service.played.length).toBe(0);
    expect(handler.log).toEqual([["error", why]]);
  });

  it("has its own exceptions back as errors, and the exchange aborted", () => {
    for (const method of ["onHeaders", "onData"] as const) {
      const [via, service] = entry(() => {});
      const why = new Error("bug");
      const handler = new Callbacks();
      handler[method] = () => {
        throw why;
      };
      via.dispatch(get, handler);
      service.last.head(200);
      service.last.data("x");
      service.last.end();
      expect(handler.log.at(-1)).toEqual(["error", why]);
      expect(service.last.abortedWith?.code).toBe("SELVAGE_ERR_ABORTED");
    }
  });

  it("gets exactly one last call, whatever comes after an abort", () => {
    const [via, service] = entry(() => {});
    const handler = new Callbacks();
    via.dispatch(get, handler);
    service.last.head(200);
    handler.abort();
    handler.abort();
    service.last.data("late");
    service.last.end();
    expect(handler.log.length).toBe(3);
    expect(handler.log[2]).toMatchObject(["error", { name: "AbortError", code: "UND_ERR_ABORTED" }]);
  });

  it("is refused without onError, since it couldn't be told anything", () => {
    const [via] = entry(playEcho);
    expect(() => via.dispatch(get, { onConnect() {} })).toThrow("invalid onError method");
  });

  it("is told when it lacks what an upgrade calls", () => {
    const [via] = entry(playEcho);
    const handler = new Callbacks();
    expect(via.dispatch({ ...get, upgrade: "websocket" }, handler)).toBe(false);
    expect(handler.log).toMatchObject([
      ["error", { code: "UND_ERR_INVALID_ARG", message: "invalid onUpgrade method" }],
    ]);
  });
});

describe("a handler of the new dialect", () => {
  it("gets header objects, raw headers and trailers", () => {
    const [via] = entry((e) => {
      e.head(200, ["a", "1", "a", "2", "__proto__", "x"]);
      e.data("body");
      e.end(["x-t", "1"]);
    });
    const handler = new Controlled();
    via.dispatch(get, handler);
    const headers = Object.fromEntries([
      ["a", ["1", "2"]],
      ["__proto__", "x"],
    ]);
    expect(handler.log).toEqual([
      "start",
      ["head", 200, headers, ["a", "1", "a", "2", "__proto__", "x"]],
      ["data", "body"],
      ["end", { "x-t": "1" }, ["x-t", "1"]],
    ]);
  });

  it("steers by the controller", () => {
    const [via, service] = entry(() => {});
    const handler = new Controlled();
    via.dispatch(get, handler);
    service.last.head(200);
    handler.controller.pause();
    expect([handler.controller.paused, service.last.paused]).toEqual([true, true]);
    handler.controller.resume();
    expect([handler.controller.paused, service.last.paused]).toEqual([false, false]);
    const why = new Error("enough");
    handler.controller.abort(why);
    expect([handler.controller.aborted, handler.controller.reason]).toEqual([true, why]);
    expect(handler.log.at(-1)).toEqual(["error", why]);
    expect(service.last.abortedWith?.cause).toBe(why);
  });

  it("gets the exchange's own error, which says how far the request got", () => {
    const error = transportError("SELVAGE_ERR_REFUSED", "refused", "peer", "refused");
    const [via] = entry((e) => e.fail(error));
    const handler = new Controlled();
    via.dispatch(get, handler);
    expect(handler.log).toEqual(["start", ["error", error]]);
  });
});

describe("timeouts", () => {
  it("headersTimeout counts from the last part of the request", () => {
    const hand = new Hand();
    const [via, service] = entry(() => {}, { timeouts: hand.timeouts });
    const body = new Readable({ read() {} });
    const handler = new Callbacks();
    via.dispatch({ ...get, method: "POST", body, headersTimeout: 1000 }, handler);
    body.on("data", () => {});
    hand.pass(900);
    body.emit("data", Buffer.from("x"));
    hand.pass(900);
    expect(handler.log).toEqual(["connect"]);
    hand.pass(200);
    expect(handler.log[1]).toMatchObject(["error", { code: "UND_ERR_HEADERS_TIMEOUT", name: "HeadersTimeoutError" }]);
    expect(service.last.abortedWith).toMatchObject({ code: "SELVAGE_ERR_TIMEOUT", origin: "caller" });
    expect(body.destroyed).toBe(true);
  });

  it("bodyTimeout counts between chunks, and not while paused", () => {
    const hand = new Hand();
    const [via, service] = entry(() => {}, { timeouts: hand.timeouts, bodyTimeoutMs: 1000 });
    const handler = new Callbacks();
    handler.answer = false;
    via.dispatch(get, handler);
    service.last.head(200);
    hand.pass(5000);
    handler.answer = true;
    handler.resume();
    hand.pass(900);
    service.last.data("x");
    hand.pass(900);
    expect(handler.log.length).toBe(3);
    hand.pass(200);
    expect(handler.log[3]).toMatchObject(["error", { code: "UND_ERR_BODY_TIMEOUT" }]);
  });

  it("0 is for ever, and a complete response leaves no timeout behind", () => {
    const hand = new Hand();
    const [via, service] = entry(() => {}, { timeouts: hand.timeouts, headersTimeoutMs: 0 });
    const handler = new Callbacks();
    via.dispatch({ ...get, bodyTimeout: 10 }, handler);
    hand.pass(1e9);
    service.last.respond(200, [], "x");
    hand.pass(1e9);
    expect(handler.log.map((event) => (Array.isArray(event) ? event[0] : event))).toEqual([
      "connect",
      "headers",
      "data",
      "complete",
    ]);
  });
});

describe("requests", () => {
  it("take headers in every shape", () => {
    const shapes: unknown[] = [
      { "X-A": "1", "x-b": ["2", "3"], "x-n": 4, "x-u": undefined },
      ["X-A", "1", "x-b", "2", "x-b", "3", "x-n", 4],
      [
        ["X-A", "1"],
        ["x-b", ["2", "3"]],
        ["x-n", "4"],
      ],
      new Map<string, unknown>([
        ["X-A", "1"],
        ["x-b", ["2", "3"]],
        ["x-n", 4],
      ]),
      [Buffer.from("X-A"), Buffer.from("1"), "x-b", ["2", "3"], "x-n", "4"],
      new Headers([
        ["X-A", "1"],
        ["x-b", "2"],
        ["x-b", "3"],
        ["x-n", "4"],
      ]),
    ];
    for (const headers of shapes) {
      const [via, service] = entry(playEcho);
      via.dispatch({ ...get, headers }, new Callbacks());
      const flat = service.last.x.headers.join("|").replace("2, 3", "2|x-b|3");
      expect(flat).toBe("host|a.shop|x-a|1|x-b|2|x-b|3|x-n|4");
    }
  });

  it("lose what belongs to the connection, keep te: trailers, and let host decide the authority", () => {
    const [via, service] = entry(playEcho);
    const headers = {
      host: "b.shop:81",
      connection: "close, X-Hop",
      "x-hop": "1",
      "keep-alive": "timeout=5",
      "proxy-connection": "x",
      "transfer-encoding": "chunked",
      upgrade: "h2c",
      expect: "100-continue",
      te: "gzip, trailers",
      "x-end": "1",
    };
    via.dispatch({ ...get, headers }, new Callbacks());
    expect(service.last.x.authority).toBe("b.shop:81");
    expect(service.last.x.headers).toEqual(["host", "b.shop:81", "te", "trailers", "x-end", "1"]);
    expect(service.last.x.headerCase?.get("x-hop")).toBeUndefined();
  });

  it("may be addressed in absolute form, as through a proxy", () => {
    const [via, service] = entry(playEcho);
    via.dispatch(
      { ...get, origin: "http://proxy:3128", path: "http://b.shop:80/x?y=1", headers: { host: "evil" } },
      new Callbacks(),
    );
    const { authority, path, absoluteForm, headers } = service.last.x;
    expect({ authority, path, absoluteForm, headers }).toEqual({
      authority: "b.shop",
      path: "/x?y=1",
      absoluteForm: true,
      headers: ["host", "b.shop"],
    });
  });

  it("are made by newExchange", () => {
    class Marked extends Exchange {
      mark = 1;
    }
    const [via, service] = entry(playEcho, { newExchange: () => new Marked() });
    via.dispatch(get, new Callbacks());
    expect(service.last.x).toBeInstanceOf(Marked);
  });

  it("take a userland FormData, whose entries any multipart reader reads", async () => {
    const entries: [string, unknown][] = [
      ['fi"eld\n', "one\ntwo"],
      ["file", new File(["content"], "a.txt", { type: "text/x-a" })],
    ];
    const form = {
      [Symbol.toStringTag]: "FormData",
      [Symbol.iterator]: () => entries[Symbol.iterator](),
      append() {},
      delete() {},
      get() {},
      getAll() {},
      has() {},
      set() {},
    };
    const [via, service] = entry(() => {});
    via.dispatch({ ...get, method: "POST", body: form }, new Callbacks());
    await new Promise<void>((resolve) => service.last.whenReceived(resolve));
    const type = service.last.header("content-type")!;
    const read = await new Response(Buffer.concat(service.last.received), {
      headers: { "content-type": type },
    }).formData();
    expect(read.get('fi"eld\r\n')).toBe("one\r\ntwo");
    const file = read.get("file") as File;
    expect([file.name, file.type, await file.text()]).toEqual(["a.txt", "text/x-a", "content"]);
    expect(service.last.header("content-length")).toBe(String(Buffer.concat(service.last.received).byteLength));
  });

  it("pull an async iterable only as fast as the peer takes it, and end it when aborted", async () => {
    let pulled = 0;
    let ended = false;
    async function* source(): AsyncGenerator<string> {
      try {
        for (;;) {
          pulled++;
          yield "x";
        }
      } finally {
        ended = true;
      }
    }
    const [via, service] = entry((e) => {
      e.onRequest = () => {
        if (e.received.length === 3) e.x.body?.pause();
      };
    });
    const handler = new Callbacks();
    via.dispatch({ ...get, method: "POST", body: source() }, handler);
    await new Promise((resolve) => setImmediate(resolve));
    expect([pulled, service.last.received.length]).toEqual([3, 3]);
    handler.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toBe(true);
  });
});

describe("the WebSocket of undici", () => {
  it("speaks over a tunnel", async () => {
    const service = new TestingService((e) => {
      const key = e.header("sec-websocket-key");
      const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
      e.head(101, ["upgrade", "websocket", "connection", "Upgrade", "sec-websocket-accept", accept]);
      e.x.body?.pipe(e);
      e.data(Buffer.from([0x81, 2, 0x68, 0x69]));
    });
    const socket = new WebSocket("ws://chat.shop/room", { dispatcher: new ServiceDispatcher(service) });
    const got = await new Promise((resolve, reject) => {
      socket.onmessage = (event) => resolve(event.data);
      socket.onerror = (event) => reject(event.error);
    });
    expect(got).toBe("hi");
    socket.send("back");
    await new Promise((resolve) => setImmediate(resolve));
    expect(Buffer.concat(service.last.received).byteLength).toBe(2 + 4 + 4);
    const closed = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    service.last.data(Buffer.from([0x88, 0]));
    service.last.end();
    await closed;
  });
});
