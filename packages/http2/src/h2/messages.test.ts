import { describe, expect, it } from "vitest";
import type { Exchange } from "../exchange.js";
import { errorCode, flag, frameType, setting } from "./frame.js";
import { type Http2Options, resolveHttp2 } from "./limits.js";
import { ServerSession } from "./server-session.js";
import { Answer, bodyOf, client, connectionOf, request, send, server, serviceOf } from "./test-exchanges.js";
import { data, duplexPair, endAll, endHead, frame, get, headers, post, RawPeer } from "./test-peer.js";

const start = [":method", "GET", ":scheme", "http", ":path", "/"];

describe("a request is refused as malformed", () => {
  it.each<[string, string[]]>([
    ["a name in upper case", [...get, "X-A", "1"]],
    ["a name with a colon", [...get, "x:a", "1"]],
    ["a name with a blank", [...get, "x a", "1"]],
    ["an empty name", [...get, "", "1"]],
    ["CR LF in a value", [...get, "x-a", "1\r\nx-b: 2"]],
    ["NUL in a value", [...get, "x-a", "a\0b"]],
    ["a blank before a value", [...get, "x-a", " 1"]],
    ["a tab after a value", [...get, "x-a", "1\t"]],
    ["connection", [...get, "connection", "close"]],
    ["keep-alive", [...get, "keep-alive", "1"]],
    ["proxy-connection", [...get, "proxy-connection", "close"]],
    ["transfer-encoding", [...get, "transfer-encoding", "chunked"]],
    ["upgrade", [...get, "upgrade", "websocket"]],
    ["te with anything but trailers", [...get, "te", "trailers, gzip"]],
    ["content-length twice", [...get, "content-length", "0", "content-length", "0"]],
    ["a content-length that is no number", [...get, "content-length", "+5"]],
    ["a content-length with no body", [...get, "content-length", "5"]],
    ["a pseudo-header twice", [...get, ":path", "/"]],
    ["a pseudo-header after a header", [":method", "GET", ":scheme", "http", "x-a", "1", ":path", "/"]],
    ["a pseudo-header after host", [":method", "GET", ":scheme", "http", "host", "a", ":path", "/"]],
    ["an unknown pseudo-header", [...get, ":x", "1"]],
    ["the pseudo-header of a response", [...get, ":status", "200"]],
    ["no :method", [":scheme", "http", ":path", "/"]],
    ["a blank in :method", [":method", "GET /x", ":scheme", "http", ":path", "/"]],
    ["no :scheme", [":method", "GET", ":path", "/"]],
    ["another :scheme", [":method", "GET", ":scheme", "file", ":path", "/"]],
    ["no :path", [":method", "GET", ":scheme", "http"]],
    ["an empty :path", [":method", "GET", ":scheme", "http", ":path", ""]],
    ["a blank in :path", [":method", "GET", ":scheme", "http", ":path", "/a HTTP/1.1"]],
    ["an absolute URL as :path", [":method", "GET", ":scheme", "http", ":path", "http://a/"]],
    ["a fragment in :path", [":method", "GET", ":scheme", "http", ":path", "/a#b"]],
    ["* as :path of a GET", [":method", "GET", ":scheme", "http", ":path", "*"]],
    ["user information in :authority", [...start, ":authority", "me:secret@shop"]],
    ["a path in :authority", [...start, ":authority", "shop/x"]],
    ["user information in host", [...start, "host", "me@shop"]],
    ["a host other than :authority", [...get, "host", "other.test"]],
    ["host twice", [...start, "host", "a", "host", "a"]],
    ["CONNECT with a path", [":method", "CONNECT", ":authority", "a:1", ":path", "/"]],
    ["CONNECT without :authority", [":method", "CONNECT"]],
    [":protocol without CONNECT", [...get, ":protocol", "websocket"]],
  ])("that has %s", async (_name, fields) => {
    const { peer, taken } = server({ restoreHttp1: true });
    peer.write(headers(1, fields), headers(3, get));
    await peer.settled();
    expect(peer.reset(1)).toBe(errorCode.protocol);
    expect(taken.map((one) => one.x.authority)).toEqual(["shop.test"]);
  });

  it.each<[string, Buffer[]]>([
    ["more", [data(1, "abc"), data(1, "def", flag.endStream)]],
    ["less", [data(1, "abc", flag.endStream)]],
    ["less, then trailers", [data(1, "abc"), headers(1, ["x-t", "1"])]],
  ])("whose body is %s than its content-length", async (_name, frames) => {
    const { peer, taken } = server();
    peer.write(headers(1, [...post, "content-length", "5"], endHead), ...frames);
    await peer.settled();
    expect(peer.reset(1)).toBe(errorCode.protocol);
    expect(taken[0]!.ended).toBe(false);
    expect(taken[0]!.aborted?.code).toBe("SELVAGE_ERR_ABORTED");
  });

  it.each<[string, Buffer]>([
    ["without END_STREAM", headers(1, ["x-t", "1"], endHead)],
    ["with a pseudo-header", headers(1, [":path", "/"])],
    ["with a connection header", headers(1, ["connection", "x"])],
  ])("whose trailers come %s", async (_name, trailers) => {
    const { peer, taken } = server();
    peer.write(headers(1, post, endHead), data(1, "x"), trailers);
    await peer.settled();
    expect(peer.reset(1)).toBe(errorCode.protocol);
    expect(taken[0]!.aborted).not.toBeNull();
  });
});

describe("a request is taken", () => {
  async function take(fields: string[], options: Http2Options = {}): Promise<Exchange> {
    const { peer, taken } = server(options);
    peer.write(headers(1, fields));
    await peer.settled();
    return taken[0]!.x;
  }

  it("with names that objects have", async () => {
    const x = await take([...get, "__proto__", "1", "constructor", "2", "tostring", "3"]);
    expect(x.headers).toEqual(["__proto__", "1", "constructor", "2", "tostring", "3"]);
  });

  it("with cookies joined", async () => {
    const x = await take([...get, "cookie", "a=1", "x-a", "1", "cookie", "b=2", "cookie", "c=3"]);
    expect(x.headers).toEqual(["cookie", "a=1; b=2; c=3", "x-a", "1"]);
  });

  it("with a host equal to :authority, which is dropped", async () => {
    const x = await take([...get, "x-a", "1", "host", "SHOP.test", "x-b", "2"]);
    expect([x.authority, x.headers]).toEqual(["shop.test", ["x-a", "1", "x-b", "2"]]);
  });

  it("with host in the place of :authority, as HAProxy sends it", async () => {
    const x = await take([...start, "host", "shop.test"]);
    expect([x.authority, x.headers, x.version]).toEqual(["shop.test", [], "2.0"]);
  });

  it("with neither host nor :authority", async () => {
    expect((await take(start)).authority).toBe("");
  });

  it("without a body when END_STREAM comes with the head", async () => {
    expect((await take(get)).body).toBeNull();
  });

  it("with bytes beyond ASCII in values and path", async () => {
    const x = await take([":method", "GET", ":scheme", "https", ":path", "/\xe9?q", "x-a", "caf\xe9"]);
    expect([x.path, x.headers, x.scheme]).toEqual(["/\xe9?q", ["x-a", "caf\xe9"], "https"]);
  });

  it("OPTIONS *", async () => {
    expect((await take([":method", "OPTIONS", ":scheme", "http", ":path", "*"])).path).toBe("*");
  });

  it("CONNECT, as a tunnel", async () => {
    const x = await take([":method", "CONNECT", ":authority", "db.shop:5432"]);
    expect([x.tunnel, x.authority, x.path, x.headers]).toEqual([true, "db.shop:5432", "", []]);
  });

  it("extended CONNECT, with its protocol as upgrade", async () => {
    const x = await take([":method", "CONNECT", ":protocol", "websocket", ...start.slice(2), "x-a", "1"]);
    expect([x.tunnel, x.path, x.headers]).toEqual([true, "/", ["x-a", "1", "upgrade", "websocket"]]);
  });
});

describe("a tunnel", () => {
  it("that HTTP/1.1 opened with 101 is opened with 200", async () => {
    const { peer, taken } = server();
    peer.write(headers(1, [":method", "CONNECT", ":protocol", "websocket", ...start.slice(2)], endHead));
    await peer.settled();
    taken[0]!.sink.onHead(101, ["upgrade", "websocket", "connection", "upgrade", "x-a", "1"]);
    await peer.settled();
    expect(peer.head(peer.of(frameType.headers, 1)[0]!)).toEqual({ ":status": "200", "x-a": "1" });
  });

  it("ends its two directions apart", async () => {
    const { session, peer, watcher } = client({}, setting.enableConnectProtocol, 1);
    await watcher.ready;
    const x = request({ method: "CONNECT", tunnel: true, headers: ["upgrade", "websocket"], body: bodyOf([]) });
    const body = { ...bodyOf([]), pipe: () => {} };
    x.body = body;
    const answer = send(session, x);
    peer.write(headers(1, [":status", "200"], endHead), data(1, "bye", flag.endStream));
    await answer.done;
    expect([answer.body.toString(), session.active, body.cancelled]).toEqual(["bye", 1, false]);
    peer.write(frame(frameType.rstStream, 0, 1, Buffer.alloc(4)));
    await peer.settled();
    expect([session.active, answer.terminals]).toEqual([0, 1]);
  });

  it("that is refused is an ordinary answer", async () => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const body = bodyOf([Buffer.from("never sent")]);
    const answer = send(session, request({ method: "CONNECT", tunnel: true, authority: "db:1", path: "", body }));
    await peer.until(() => peer.of(frameType.headers, 1).length === 1);
    expect(peer.head(peer.of(frameType.headers, 1)[0]!)).toEqual({ ":method": "CONNECT", ":authority": "db:1" });
    peer.write(headers(1, [":status", "403"], endHead), data(1, "no", flag.endStream));
    await answer.done;
    expect([answer.status, answer.body.toString(), body.cancelled, body.sent]).toEqual([403, "no", true, 0]);
  });
});

describe("HTTP/1 carried on HTTP/2", () => {
  it.each([
    ["HTTP/1.1", "1.1", false],
    ["HTTP/1.0", "1.0", false],
    ["HTTP/1.1; absolute-form", "1.1", true],
    ["HTTP/1.0; absolute-form", "1.0", true],
  ] as const)("comes out of %s as it was, and host stays", async (value, version, absoluteForm) => {
    const { peer, taken } = server({ restoreHttp1: true });
    peer.write(headers(1, [...get, "host", "shop.test", "x-a", "1", "l5d-orig-proto", value]));
    await peer.settled();
    const [one] = taken;
    expect(one!.x).toMatchObject({ version, absoluteForm, headers: ["host", "shop.test", "x-a", "1"] });
    one!.x.responseVersion = "1.0";
    one!.sink.onHead(200, []);
    one!.sink.onEnd(null);
    await peer.settled();
    expect(peer.head(peer.of(frameType.headers, 1)[0]!)["l5d-orig-proto"]).toBe("HTTP/1.0");
  });

  it.each([
    [false, "HTTP/1.1"],
    [true, "HTTP/3"],
  ])("stays HTTP/2 when restoring is %s and the header says %s, which nobody sees", async (restoreHttp1, value) => {
    const { peer, taken } = server({ restoreHttp1 });
    peer.write(headers(1, [...get, "l5d-orig-proto", value, "host", "shop.test"]));
    await peer.settled();
    expect(taken[0]!.x).toMatchObject({ version: "2.0", headers: [] });
    taken[0]!.sink.onHead(200, ["l5d-orig-proto", "HTTP/1.1"]);
    taken[0]!.sink.onEnd(null);
    await peer.settled();
    expect(peer.head(peer.of(frameType.headers, 1)[0]!)).not.toHaveProperty("l5d-orig-proto");
  });

  it("lets host differ from :authority in absolute form only", async () => {
    const { peer, taken } = server({ restoreHttp1: true });
    peer.write(headers(1, [...get, "host", "other", "l5d-orig-proto", "HTTP/1.1; absolute-form"]));
    peer.write(headers(3, [...get, "host", "other", "l5d-orig-proto", "HTTP/1.1"]));
    await peer.settled();
    expect(taken.length).toBe(1);
    expect(peer.reset(3)).toBe(errorCode.protocol);
  });

  it.each([
    [{ version: "1.1" }, "HTTP/1.1"],
    [{ version: "1.0" }, "HTTP/1.0"],
    [{ version: "1.1", absoluteForm: true }, "HTTP/1.1; absolute-form"],
  ] as const)("is sent as %o with %s, and the answer's version comes back", async (parts, value) => {
    const { session, peer, watcher } = client({ carryHttp1: true });
    await watcher.ready;
    const list = ["host", "Shop.Test", "l5d-orig-proto", "forged", "x-a", "1"];
    const x = request({ ...parts, headers: list });
    const answer = send(session, x);
    await peer.until(() => peer.of(frameType.headers, 1).length === 1);
    expect(peer.head(peer.of(frameType.headers, 1)[0]!)).toEqual({
      ":method": "GET",
      ":scheme": "http",
      ":authority": "shop.test",
      ":path": "/",
      host: "Shop.Test",
      "x-a": "1",
      "l5d-orig-proto": value,
    });
    peer.write(headers(1, [":status", "200", "l5d-orig-proto", "HTTP/1.0", "x-b", "2"]));
    await answer.done;
    expect([x.responseVersion, answer.headers]).toEqual(["1.0", ["x-b", "2"]]);
  });

  it("an answer without the header has the request's version", async () => {
    const { session, peer, watcher } = client({ carryHttp1: true });
    await watcher.ready;
    const x = request({ version: "1.1" });
    const answer = send(session, x);
    peer.write(headers(1, [":status", "200"]));
    await answer.done;
    expect(x.responseVersion).toBe("1.1");
  });

  it("is not carried unless asked for: host goes, the answer is HTTP/2", async () => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const x = request({ version: "1.1", headers: ["host", "shop.test", "connection", "close", "te", "gzip"] });
    const answer = send(session, x);
    await peer.until(() => peer.of(frameType.headers, 1).length === 1);
    const head = peer.head(peer.of(frameType.headers, 1)[0]!);
    expect(Object.keys(head)).toEqual([":method", ":scheme", ":authority", ":path"]);
    peer.write(headers(1, [":status", "200", "l5d-orig-proto", "HTTP/1.1"]));
    await answer.done;
    expect([x.responseVersion, answer.headers]).toEqual(["2.0", []]);
  });
});

describe("a request of ours that can't be sent is refused as unsent", () => {
  it.each<[string, Partial<Exchange>]>([
    ["CR LF in a value", { headers: ["x-a", "1\r\nx-b: 2"] }],
    ["NUL in a long value", { headers: ["x-a", `${"a".repeat(100)}\0`] }],
    ["a character beyond Latin-1", { headers: ["x-a", "\u0141"] }],
    ["a name in upper case", { headers: ["X-A", "1"] }],
    ["a pseudo-header among the headers", { headers: [":path", "/admin"] }],
    ["a blank in the path", { path: "/a HTTP/1.1" }],
    ["a blank in the method", { method: "GET /" }],
    ["user information in the authority", { authority: "a@b" }],
    ["an HTTP/1.1 upgrade", { tunnel: true, headers: ["upgrade", "websocket"] }],
  ])("because of %s", async (_name, parts) => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const indexed = ["x-kept", "a value for the table"];
    send(session, request({ headers: indexed }));
    const answer = send(session, request(parts));
    expect(answer.error).toMatchObject({ code: "SELVAGE_ERR_MALFORMED", origin: "local", progress: "unsent" });
    // The tables of both sides still agree.
    const other = new Answer();
    session.call(request({ headers: ["x-new", "another value", ...indexed] }), other);
    session.call(request({ headers: ["x-new", "another value", ...indexed] }), other);
    await peer.until(() => peer.of(frameType.headers).length === 3);
    const heads = peer.of(frameType.headers).map((one) => peer.head(one));
    for (const head of heads) expect(head["x-kept"]).toBe("a value for the table");
    expect(heads[2]!["x-new"]).toBe("another value");
  });
});

describe("a response is refused as malformed", () => {
  it.each<[string, Buffer[]]>([
    ["no :status", [headers(1, ["x-a", "1"])]],
    [":status 101", [headers(1, [":status", "101"], endHead)]],
    ["an informational head that ends the stream", [headers(1, [":status", "103"])]],
    ["a request's pseudo-header", [headers(1, [":status", "200", ":path", "/"])]],
    ["CR in a value", [headers(1, [":status", "200", "x", "a\rb"])]],
    ["DATA before the head", [data(1, "x")]],
    ["an end before the head", [data(1, "", flag.endStream)]],
    ["less than content-length", [headers(1, [":status", "200", "content-length", "3"], endHead), data(1, "x", 1)]],
    ["content-length and no body", [headers(1, [":status", "200", "content-length", "3"])]],
    ["a body to 204", [headers(1, [":status", "204"], endHead), data(1, "x", 1)]],
  ])("that has %s", async (_name, frames) => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const answer = send(session, request());
    peer.write(...frames);
    expect((await answer.done).error).toMatchObject({ code: "SELVAGE_ERR_PROTOCOL", progress: "processed" });
    await peer.settled();
    // A stream that both sides have ended can't be reset any more.
    expect(peer.reset(1)).toBe(_name === "an end before the head" ? undefined : errorCode.protocol);
    expect(session.active).toBe(0);
  });

  it("a content-length to HEAD is fine without a body", async () => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const answer = send(session, request({ method: "HEAD" }));
    peer.write(headers(1, [":status", "200", "content-length", "3"]));
    expect((await answer.done).error).toBeNull();
  });
});

describe("a connection error is told by its code", () => {
  it.each<[string, Buffer, number]>([
    ["HEADERS on stream 0", headers(0, get), errorCode.protocol],
    ["HEADERS on an even stream", headers(2, get), errorCode.protocol],
    ["HEADERS on a closed stream", Buffer.concat([headers(5, get), headers(3, get)]), errorCode.streamClosed],
    ["DATA on stream 0", data(0, "x"), errorCode.protocol],
    ["DATA on an idle stream", data(7, "x"), errorCode.protocol],
    ["RST_STREAM on an idle stream", frame(frameType.rstStream, 0, 9, Buffer.alloc(4)), errorCode.protocol],
    ["RST_STREAM of the wrong size", frame(frameType.rstStream, 0, 9, Buffer.alloc(5)), errorCode.frameSize],
    ["WINDOW_UPDATE of nothing", frame(frameType.windowUpdate, 0, 0, Buffer.alloc(4)), errorCode.protocol],
    ["PING of the wrong size", frame(frameType.ping, 0, 0, Buffer.alloc(7)), errorCode.frameSize],
    ["PUSH_PROMISE", frame(frameType.pushPromise, endAll, 1, Buffer.alloc(8)), errorCode.protocol],
    ["CONTINUATION alone", frame(frameType.continuation, endHead, 1, Buffer.alloc(1)), errorCode.protocol],
    ["a frame too long", Buffer.from([0x01, 0, 0, 0x77, 0, 0, 0, 0, 0]), errorCode.frameSize],
    ["padding longer than the payload", frame(frameType.headers, endAll | flag.padded, 1, Buffer.from([9, 0x82])), 1],
    ["HEADERS while a block is open", Buffer.concat([headers(1, get, 0), headers(3, get)]), errorCode.protocol],
    ["DATA while a block is open", Buffer.concat([headers(1, get, 0), data(1, "x")]), errorCode.protocol],
  ])("%s", async (_name, bytes, code) => {
    const { peer } = server();
    peer.write(bytes);
    await peer.untilEnded();
    expect(peer.goaway).toBe(code);
  });

  it("a connection that starts with something else than the preface is ended", async () => {
    const [ours, theirs] = duplexPair();
    new ServerSession(
      ours,
      connectionOf(ours),
      serviceOf(() => {}),
      resolveHttp2(),
      { onClosed: () => {} },
    );
    const peer = new RawPeer(theirs).write(Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    await peer.untilEnded();
    expect(peer.goaway).toBe(errorCode.protocol);
  });

  it("frames cut up byte by byte are understood", async () => {
    const { peer, taken } = server();
    const bytes = Buffer.concat([
      headers(1, [...post, "x-a", "1"], endHead),
      frame(frameType.data, flag.padded, 1, Buffer.concat([Buffer.from([3]), Buffer.from("hello"), Buffer.alloc(3)])),
      data(1, "", flag.endStream),
    ]);
    for (const byte of bytes) peer.write(Buffer.from([byte]));
    await peer.settled();
    expect(taken[0]!.body.toString()).toBe("hello");
    expect(taken[0]!.ended).toBe(true);
  });
});

describe("settings and windows", () => {
  it("a smaller initial window makes open windows negative, and they recover", async () => {
    const { peer, taken } = server();
    peer.write(headers(1, get));
    await peer.settled();
    const { sink } = taken[0]!;
    sink.onHead(200, []);
    sink.onData(Buffer.alloc(60_000));
    await peer.until(() => length(peer, 1) === 60_000);
    peer.write(settingsOf(setting.initialWindowSize, 1_000));
    await peer.settled();
    sink.onData(Buffer.alloc(10_000, 1));
    sink.onEnd(null);
    peer.write(frame(frameType.windowUpdate, 0, 1, wordOf(59_000)));
    await peer.settled();
    expect(length(peer, 1)).toBe(60_000);
    peer.write(settingsOf(setting.initialWindowSize, 5_000));
    await peer.settled();
    expect(length(peer, 1)).toBe(64_000);
    peer.write(
      frame(frameType.windowUpdate, 0, 1, wordOf(100_000)),
      frame(frameType.windowUpdate, 0, 0, wordOf(100_000)),
    );
    await peer.until(() => peer.of(frameType.data, 1).some((one) => (one.flags & flag.endStream) !== 0));
    expect(length(peer, 1)).toBe(70_000);
  });

  it("an answer leaves in two frames, END_STREAM on the last", async () => {
    const { peer, taken } = server();
    peer.write(headers(1, get), headers(3, get));
    await peer.settled();
    const before = peer.frames.length;
    taken[0]!.sink.onHead(200, []);
    taken[0]!.sink.onData(Buffer.from("body"));
    taken[1]!.sink.onHead(204, []);
    taken[0]!.sink.onEnd(null);
    taken[1]!.sink.onEnd(null);
    await peer.settled();
    expect(peer.frames.slice(before, -1).map(({ type, flags, id }) => [type, flags, id])).toEqual([
      [frameType.headers, endHead, 1],
      [frameType.data, flag.endStream, 1],
      [frameType.headers, endAll, 3],
    ]);
  });

  it("streams above the last id of a GOAWAY are unsent, those below go on", async () => {
    const { session, peer, watcher } = client();
    await watcher.ready;
    const one = send(session, request());
    const two = send(session, request({ method: "POST", body: bodyOf([Buffer.from("x")]) }));
    await peer.settled();
    peer.write(frame(frameType.goaway, 0, 0, Buffer.concat([wordOf(1), wordOf(0)])));
    expect((await two.done).error).toMatchObject({ code: "SELVAGE_ERR_REFUSED", progress: "unsent" });
    peer.write(headers(1, [":status", "200"]));
    expect((await one.done).status).toBe(200);
    await watcher.closed;
    expect(watcher.events).toEqual(["available", "draining", "idle", "closed"]);
  });

  it("a server that drains takes what was under way, then says its last id", async () => {
    const { session, peer, taken } = server();
    peer.write(headers(1, get));
    await peer.settled();
    session.drain();
    await peer.until(() => peer.of(frameType.ping).some((one) => (one.flags & flag.ack) === 0));
    peer.write(headers(3, get));
    await peer.settled();
    const ping = peer.of(frameType.ping).find((one) => (one.flags & flag.ack) === 0)!;
    peer.write(frame(frameType.ping, flag.ack, 0, ping.payload), headers(5, get), data(5, ""));
    await peer.settled();
    expect(peer.of(frameType.goaway).map((one) => one.payload.readUInt32BE(0))).toEqual([0x7fffffff, 3]);
    expect(taken.length).toBe(2);
    for (const { sink } of taken) {
      sink.onHead(200, []);
      sink.onEnd(null);
    }
    await peer.untilEnded();
    expect(peer.of(frameType.headers).length).toBe(2);
  });
});

function settingsOf(id: number, value: number): Buffer {
  const payload = Buffer.alloc(6);
  payload.writeUInt16BE(id, 0);
  payload.writeUInt32BE(value, 2);
  return frame(frameType.settings, 0, 0, payload);
}

function wordOf(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function length(peer: RawPeer, id: number): number {
  return peer.of(frameType.data, id).reduce((sum, one) => sum + one.payload.length, 0);
}
