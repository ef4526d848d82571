import { Readable } from "node:stream";
import { pipeline as promisedPipeline } from "node:stream/promises";
import {
  errors,
  interceptors,
  pipeline,
  request,
  stream,
  FormData as UndiciFormData,
  fetch as undiciFetch,
} from "undici";
import { afterEach, describe, expect, it } from "vitest";
import { isExchangeError, transportError } from "../../exchange-error.js";
import { createFetch } from "./create-fetch.js";
import { installGlobalDispatcher } from "./global-dispatcher.js";
import { ServiceDispatcher } from "./service-dispatcher.js";
import { type PlayedExchange, playEcho, TestingService } from "./testing-service.js";

interface Echo {
  method: string;
  path: string;
  authority: string;
  scheme: string;
  headers: string[];
  body: string;
}

function make(play: (exchange: PlayedExchange) => void): { service: TestingService; dispatcher: ServiceDispatcher } {
  const service = new TestingService(play);
  return { service, dispatcher: new ServiceDispatcher(service) };
}

function field(headers: string[], name: string): string | undefined {
  const at = headers.indexOf(name);
  return at < 0 ? undefined : headers[at + 1];
}

const base = "http://orders.shop:8080";

const clients = [
  { name: "built-in fetch", fetchVia: (dispatcher: ServiceDispatcher) => createFetch(dispatcher) },
  {
    name: "undici 7's fetch",
    fetchVia: (dispatcher: ServiceDispatcher): typeof fetch =>
      ((input: string, init: object) => undiciFetch(input, { ...init, dispatcher })) as unknown as typeof fetch,
  },
];

describe.each(clients)("$name", ({ fetchVia }) => {
  it.each([
    ["before any data", 0],
    ["after data", 1],
  ])("sees that a response broke off in the same turn as its head came, %s", async (_, chunks) => {
    const { dispatcher } = make((e) => {
      e.head(200);
      for (let i = 0; i < chunks; i += 1) e.data("part");
      e.fail(transportError("SELVAGE_ERR_RESET", "the peer reset the stream"));
    });
    const response = await fetchVia(dispatcher)(base);
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow(TypeError);
  });

  it("gets a response with status, headers and body", async () => {
    const { dispatcher, service } = make((e) =>
      e.respond(201, ["x-one", "1", "set-cookie", "a=1", "set-cookie", "b=2"], "made"),
    );
    const response = await fetchVia(dispatcher)(`${base}/items?q=1`);
    expect(response.status).toBe(201);
    expect(response.headers.get("x-one")).toBe("1");
    expect(response.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
    expect(await response.text()).toBe("made");
    const { x } = service.last;
    expect([x.method, x.path, x.authority, x.scheme, x.version]).toEqual([
      "GET",
      "/items?q=1",
      "orders.shop:8080",
      "http",
      "1.1",
    ]);
    expect(service.last.header("host")).toBe("orders.shop:8080");
    expect(service.last.header("connection")).toBeUndefined();
  });

  it("sends strings, bytes, blobs, forms and search parameters with their length", async () => {
    const { dispatcher, service } = make(playEcho);
    const via = fetchVia(dispatcher);
    const bodies: [NonNullable<RequestInit["body"]>, string, string | RegExp | undefined][] = [
      ["text", "text", /^text\/plain/],
      [new TextEncoder().encode("bytes"), "bytes", undefined],
      [new TextEncoder().encode("buffer").buffer as ArrayBuffer, "buffer", undefined],
      [new Blob(["blob"], { type: "text/css" }), "blob", "text/css"],
      [new URLSearchParams({ a: "1 2" }), "a=1+2", /^application\/x-www-form-urlencoded/],
    ];
    for (const [body, text, type] of bodies) {
      const echo = (await (await via(`${base}/`, { method: "POST", body })).json()) as Echo;
      expect(echo.body).toBe(text);
      expect(service.last.header("content-length")).toBe(String(text.length));
      if (type === undefined) expect(service.last.header("content-type")).toBeUndefined();
      else expect(service.last.header("content-type")).toMatch(type);
    }
  });

  it("sends a stream of unknown length", async () => {
    const { dispatcher, service } = make(playEcho);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("one "));
        controller.enqueue(new TextEncoder().encode("two"));
        controller.close();
      },
    });
    const init = { method: "PUT", body, duplex: "half" } as RequestInit;
    const echo = (await (await fetchVia(dispatcher)(`${base}/`, init)).json()) as Echo;
    expect(echo.body).toBe("one two");
    expect(service.last.header("content-length")).toBeUndefined();
    expect(service.last.x.body?.length).toBe(-1);
  });

  it("says content-length: 0 for a POST without a body", async () => {
    const { dispatcher, service } = make(playEcho);
    await fetchVia(dispatcher)(`${base}/`, { method: "POST" });
    expect(service.last.header("content-length")).toBe("0");
    expect(service.last.x.body).toBeNull();
  });

  it("follows redirects", async () => {
    const { dispatcher } = make((e) => {
      if (e.x.path === "/old") e.respond(302, ["location", "/new"]);
      else playEcho(e);
    });
    const response = await fetchVia(dispatcher)(`${base}/old`);
    expect(response.redirected).toBe(true);
    expect(((await response.json()) as Echo).path).toBe("/new");
  });

  it.each([
    ["HEAD", 200],
    ["GET", 204],
    ["GET", 304],
  ])("takes %s with status %i, which has no body", async (method, status) => {
    const { dispatcher } = make((e) => e.respond(status, method === "HEAD" ? ["content-length", "5"] : []));
    const response = await fetchVia(dispatcher)(`${base}/`, { method });
    expect(response.status).toBe(status);
    expect(await response.text()).toBe("");
  });

  it("skips informational heads", async () => {
    const { dispatcher, service } = make((e) => {
      e.informational(103, ["link", "</a>"]);
      e.informational(102);
      e.respond(200, [], "final");
    });
    const response = await fetchVia(dispatcher)(`${base}/`);
    expect(await response.text()).toBe("final");
    expect(service.last.pauses).toBe(0);
  });

  it("reads a large body with back pressure", async () => {
    const chunk = Buffer.alloc(65_536, "x");
    let left = 64;
    const { dispatcher, service } = make((e) => {
      e.head(200);
      const pump = (): void => {
        while (left > 0 && !e.paused) {
          left--;
          e.data(chunk);
        }
        if (left === 0) e.end();
      };
      e.onResume = pump;
      pump();
    });
    const response = await fetchVia(dispatcher)(`${base}/`);
    expect(left).toBeGreaterThan(0);
    expect((await response.arrayBuffer()).byteLength).toBe(64 * 65_536);
    expect(service.last.pauses).toBeGreaterThan(0);
  });

  it("rejects with a TypeError whose cause is the exchange's error", async () => {
    const { dispatcher } = make((e) => e.fail(transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "unsent")));
    const error = await fetchVia(dispatcher)(`${base}/`).then(
      () => expect.fail("resolved"),
      (reason: unknown) => reason as TypeError,
    );
    expect(error).toBeInstanceOf(TypeError);
    expect(isExchangeError(error.cause)).toBe(true);
    expect(error.cause).toMatchObject({ code: "SELVAGE_ERR_CONNECT", progress: "unsent" });
  });

  it("fails the body when the exchange fails in it", async () => {
    const { dispatcher, service } = make((e) => {
      e.head(200);
      e.data("part");
    });
    const response = await fetchVia(dispatcher)(`${base}/`);
    service.last.fail(transportError("SELVAGE_ERR_RESET", "reset"));
    await expect(response.text()).rejects.toMatchObject({ cause: { code: "SELVAGE_ERR_RESET" } });
  });

  it("keeps the caller's reason when aborted before, while waiting, and in the body", async () => {
    const via = fetchVia(make(() => {}).dispatcher);
    const why = new Error("no longer wanted");
    await expect(via(`${base}/`, { signal: AbortSignal.abort(why) })).rejects.toBe(why);

    const waiting = make(() => {});
    const abortWaiting = new AbortController();
    const pending = fetchVia(waiting.dispatcher)(`${base}/`, { signal: abortWaiting.signal });
    abortWaiting.abort(why);
    await expect(pending).rejects.toBe(why);

    const inBody = make((e) => {
      e.head(200);
      e.data("part");
    });
    const abortBody = new AbortController();
    const response = await fetchVia(inBody.dispatcher)(`${base}/`, { signal: abortBody.signal });
    abortBody.abort(why);
    // The fetch of Node 20 and 22 has an AbortError of its own here, over TCP as well.
    const error = await response.text().catch((reason: unknown) => reason as Error);
    expect([why.message, "The operation was aborted."]).toContain((error as Error).message);
    expect(inBody.service.last.abortedWith).toMatchObject({ code: "SELVAGE_ERR_ABORTED", origin: "caller" });
  });

  it("aborts the exchange when the body is cancelled", async () => {
    const { dispatcher, service } = make((e) => {
      e.head(200);
      e.data("part");
    });
    const response = await fetchVia(dispatcher)(`${base}/`);
    await response.body?.cancel();
    expect(service.last.abortedWith?.code).toBe("SELVAGE_ERR_ABORTED");
  });

  it("runs many requests at once", async () => {
    const { dispatcher } = make((e) => {
      setImmediate(() => e.respond(200, [], e.x.path));
    });
    const via = fetchVia(dispatcher);
    const paths = Array.from({ length: 100 }, (_, i) => `/item/${i}`);
    const texts = await Promise.all(paths.map(async (path) => (await via(base + path)).text()));
    expect(texts).toEqual(paths);
  });
});

describe("undici 7's functions", () => {
  it("request gives status, headers, body and trailers", async () => {
    const { dispatcher } = make((e) => {
      e.head(200, ["x-a", "1", "x-a", "2"]);
      e.data("body");
      e.end(["grpc-status", "0"]);
    });
    const response = await request(`${base}/x`, { dispatcher });
    expect(response.statusCode).toBe(200);
    expect(response.headers["x-a"]).toEqual(["1", "2"]);
    expect(await response.body.text()).toBe("body");
    expect(response.trailers).toEqual({ "grpc-status": "0" });
  });

  it("request sends any body, and adds the query", async () => {
    const { dispatcher, service } = make(playEcho);
    const form = new UndiciFormData();
    form.append("field", "value");
    const sends: [NonNullable<Parameters<typeof request>[1]>["body"], string][] = [
      ["text", "text"],
      [Buffer.from("buffer"), "buffer"],
      [new Uint8Array([104, 105]), "hi"],
      [Readable.from(["a", "b"]), "ab"],
    ];
    for (const [body, text] of sends) {
      const response = await request(`${base}/x`, {
        dispatcher,
        method: "POST",
        body: body ?? null,
        query: { a: "1", b: ["2", "3"] },
      });
      const echo = (await response.body.json()) as Echo;
      expect(echo.body).toBe(text);
      expect(echo.path).toBe("/x?a=1&b=2&b=3");
    }
    const response = await request(`${base}/x`, { dispatcher, method: "POST", body: form });
    expect(((await response.body.json()) as Echo).body).toContain('name="field"\r\n\r\nvalue\r\n');
    expect(service.last.header("content-type")).toMatch(/^multipart\/form-data; boundary=/);
    expect(Number(service.last.header("content-length"))).toBe(Buffer.concat(service.last.received).byteLength);
  });

  it("stream and pipeline carry bodies both ways", async () => {
    const { dispatcher } = make(playEcho);
    const chunks: Buffer[] = [];
    const { PassThrough } = await import("node:stream");
    await stream(`${base}/s`, { dispatcher, method: "POST", body: "streamed" }, () =>
      new PassThrough().on("data", (chunk: Buffer) => chunks.push(chunk)),
    );
    expect((JSON.parse(Buffer.concat(chunks).toString()) as Echo).body).toBe("streamed");

    const piped: Buffer[] = [];
    await promisedPipeline(
      Readable.from(["piped"]),
      pipeline(`${base}/p`, { dispatcher, method: "PUT" }, ({ body }) => body),
      async (source) => {
        for await (const chunk of source) piped.push(chunk as Buffer);
      },
    );
    expect((JSON.parse(Buffer.concat(piped).toString()) as Echo).body).toBe("piped");
  });

  it("works under interceptors", async () => {
    let tries = 0;
    const { dispatcher } = make((e) => e.respond(++tries < 3 ? 503 : 200, [], `try ${tries}`));
    const composed = dispatcher.compose(interceptors.retry({ maxRetries: 3, minTimeout: 1 }));
    const response = await request(`${base}/`, { dispatcher: composed });
    expect(response.statusCode).toBe(200);
    expect(await response.body.text()).toBe("try 3");
  });

  it("tells 1xx heads by onInfo", async () => {
    const { dispatcher } = make((e) => {
      e.informational(103, ["link", "</a>"]);
      e.respond(200, [], "ok");
    });
    const seen: unknown[] = [];
    const options = { dispatcher, onInfo: (info: unknown) => seen.push(info) } as Parameters<typeof request>[1];
    await (await request(`${base}/`, options)).body.dump();
    expect(seen).toEqual([{ statusCode: 103, headers: { link: "</a>" } }]);
  });

  it("upgrades, and connects", async () => {
    const { dispatcher, service } = make((e) => {
      e.head(e.x.method === "CONNECT" ? 200 : 101, ["upgrade", "echo"]);
      e.x.body?.pipe({
        onData: (chunk) => e.data(chunk),
        onEnd: () => e.end(),
      });
    });
    const upgraded = await dispatcher.upgrade({ origin: base, path: "/chat", protocol: "echo" } as Parameters<
      typeof dispatcher.upgrade
    >[0]);
    expect(service.last.x.tunnel).toBe(true);
    expect(service.last.header("upgrade")).toBe("echo");
    expect(service.last.header("connection")).toBe("upgrade");
    upgraded.socket.write("hello ");
    upgraded.socket.end("tunnel");
    expect(Buffer.concat(await upgraded.socket.toArray()).toString()).toBe("hello tunnel");

    const connected = await dispatcher.connect({ origin: base, path: "db.shop:5432" });
    expect([service.last.x.method, service.last.x.authority, service.last.x.path]).toEqual([
      "CONNECT",
      "db.shop:5432",
      "",
    ]);
    expect(connected.statusCode).toBe(200);
    connected.socket.on("error", () => {});
    connected.socket.destroy();
    expect(service.last.abortedWith?.code).toBe("SELVAGE_ERR_ABORTED");
  });

  it("refuses what undici refuses, by its own error classes", async () => {
    const { dispatcher, service } = make(playEcho);
    const send = (options: object): Promise<unknown> =>
      dispatcher.request({ origin: base, path: "/", method: "POST", ...options } as Parameters<
        typeof dispatcher.request
      >[0]);
    await expect(send({ path: "nope" })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ path: "/a b" })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ method: "B AD" })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ origin: "ftp://a" })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ headers: { "a b": "1" } })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ headers: { a: "1\r\nx: 2" } })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ headers: ["host", "a", "host", "b"] })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ headers: { "content-length": "1,2" } })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ headers: { "transfer-encoding": "gzip, chunked" } })).rejects.toBeInstanceOf(
      errors.InvalidArgumentError,
    );
    await expect(send({ body: 5 })).rejects.toBeInstanceOf(errors.InvalidArgumentError);
    await expect(send({ body: "abc", headers: { "content-length": "4" } })).rejects.toBeInstanceOf(
      errors.RequestContentLengthMismatchError,
    );
    expect(service.played.length).toBe(0);
  });

  it("fails a stream that is longer or shorter than its declared length", async () => {
    for (const length of ["2", "9"]) {
      const { dispatcher, service } = make(playEcho);
      const sent = request(`${base}/`, {
        dispatcher,
        method: "POST",
        body: Readable.from(["abc"]),
        headers: { "content-length": length },
      });
      await expect(sent).rejects.toMatchObject({ code: "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH" });
      expect(service.last.abortedWith?.origin).toBe("caller");
      expect(service.last.text).not.toBe("abc!");
    }
  });

  it("fails the request when its body stream fails, with the stream's own error", async () => {
    const { dispatcher, service } = make(playEcho);
    const why = new Error("disk gone");
    const body = new Readable({ read() {} });
    body.push("begun");
    const sent = request(`${base}/`, { dispatcher, method: "POST", body });
    setImmediate(() => body.destroy(why));
    await expect(sent).rejects.toBe(why);
    expect(service.last.abortedWith?.cause).toBe(why);
  });

  it("close waits for what is in flight, destroy aborts it", async () => {
    const { dispatcher, service } = make(() => {});
    const pending = request(`${base}/`, { dispatcher });
    let closed = false;
    const closing = dispatcher.close().then(() => {
      closed = true;
    });
    await expect(request(`${base}/`, { dispatcher })).rejects.toBeInstanceOf(errors.ClientClosedError);
    expect(closed).toBe(false);
    service.last.respond(200, [], "done");
    expect(await (await pending).body.text()).toBe("done");
    await closing;

    const other = make(() => {});
    const cut = request(`${base}/`, { dispatcher: other.dispatcher });
    await other.dispatcher.destroy();
    await expect(cut).rejects.toBeInstanceOf(errors.ClientDestroyedError);
    expect(other.service.last.abortedWith?.origin).toBe("caller");
  });
});

describe("installGlobalDispatcher", () => {
  let uninstall = (): void => {};
  afterEach(() => uninstall());

  it("takes over fetch and undici, and gives back what was there", async () => {
    const { getGlobalDispatcher } = await import("undici");
    const before = getGlobalDispatcher();
    const { dispatcher } = make(playEcho);
    uninstall = installGlobalDispatcher(dispatcher);
    expect(((await (await fetch(`${base}/builtin`)).json()) as Echo).path).toBe("/builtin");
    expect(((await (await request(`${base}/undici`)).body.json()) as Echo).path).toBe("/undici");
    expect(field(((await (await fetch(`${base}/`)).json()) as Echo).headers, "host")).toBe("orders.shop:8080");
    uninstall();
    expect(getGlobalDispatcher()).toBe(before);
  });
});
