import { createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frameType } from "../../packages/http2/src/h2/frame.js";
import {
  data,
  endHead,
  frame,
  headers,
  literals,
  RawPeer,
  rst,
  settings,
  windowUpdate,
  word,
} from "../../packages/http2/src/h2/test-peer.js";
import { listen, liveBytes, Victim } from "./victim.js";

// What h2spec asks of servers, asked of our client: servers that break the protocol, or are after the caller's memory and time. Each is
// called through a whole mesh (`mesh.fetch`), while calls to a good server go on.

const goaway = (lastId: number, code = 0) => frame(frameType.goaway, 0, 0, Buffer.concat([word(lastId), word(code)]));
const ok = [":status", "200"];
const many = (count: number, one: (index: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, at) => one(at)));
const ping = frame(frameType.ping, 0, 0, Buffer.alloc(8));
const pushPromise = (id: number) =>
  frame(
    frameType.pushPromise,
    flag.endHeaders,
    id,
    Buffer.concat([word(2), literals(":method", "GET", ":scheme", "http", ":authority", "a", ":path", "/")]),
  );

/** After SETTINGS and the request's head: what the server says, and the code that the call fails with (`null`: it succeeds). */
const hostile: readonly [string, (id: number) => Buffer, string | null][] = [
  ["DATA before the head", (id) => data(id, "x"), "PROTOCOL"],
  ["DATA on stream 0", () => data(0, "x"), "PROTOCOL"],
  ["DATA on a stream that is idle", () => data(101, "x"), "PROTOCOL"],
  ["HEADERS on a stream that is idle", () => headers(101, ok), "PROTOCOL"],
  ["HEADERS on a stream of its own", () => headers(2, ok), "PROTOCOL"],
  ["a head without :status", (id) => headers(id, ["x-a", "b"]), "PROTOCOL"],
  ["a :status of two digits", (id) => headers(id, [":status", "20"]), "PROTOCOL"],
  ["a :status of 101", (id) => headers(id, [":status", "101"]), "PROTOCOL"],
  ["a :status twice", (id) => headers(id, [...ok, ...ok]), "PROTOCOL"],
  ["a request's pseudo-header", (id) => headers(id, [...ok, ":path", "/"]), "PROTOCOL"],
  ["a name in capitals", (id) => headers(id, [...ok, "X-A", "b"]), "PROTOCOL"],
  ["a line end in a value", (id) => headers(id, [...ok, "x-a", "b\r\nx-c: d"]), "PROTOCOL"],
  ["transfer-encoding", (id) => headers(id, [...ok, "transfer-encoding", "chunked"]), "PROTOCOL"],
  ["connection", (id) => headers(id, [...ok, "connection", "close"]), "PROTOCOL"],
  ["content-length twice", (id) => headers(id, [...ok, "content-length", "0", "content-length", "0"]), "PROTOCOL"],
  [
    "less than content-length",
    (id) => Buffer.concat([headers(id, [...ok, "content-length", "5"], endHead), data(id, "x", flag.endStream)]),
    "BODY",
  ],
  [
    "more than content-length",
    (id) => Buffer.concat([headers(id, [...ok, "content-length", "1"], endHead), data(id, "xyz", flag.endStream)]),
    "BODY",
  ],
  [
    "trailers that don't end the stream",
    (id) => Buffer.concat([headers(id, ok, endHead), headers(id, ["x-t", "1"], endHead)]),
    "BODY",
  ],
  [
    "a pseudo-header in trailers",
    (id) => Buffer.concat([headers(id, ok, endHead), headers(id, [":status", "200"])]),
    "BODY",
  ],
  ["an informational head that ends the stream", (id) => headers(id, [":status", "103"]), "PROTOCOL"],
  ["informational heads without end", (id) => many(1_000, () => headers(id, [":status", "103"], endHead)), "PROTOCOL"],
  ["a PUSH_PROMISE", (id) => pushPromise(id), "PROTOCOL"],
  ["SETTINGS that enable push", () => settings(2, 1), "PROTOCOL"],
  ["SETTINGS of the wrong size", () => frame(frameType.settings, 0, 0, Buffer.alloc(5)), "PROTOCOL"],
  ["SETTINGS with a window beyond 2^31-1", () => settings(4, 0x80000000), "PROTOCOL"],
  ["SETTINGS with a frame size below 16384", () => settings(5, 1_000), "PROTOCOL"],
  ["a WINDOW_UPDATE of nothing", () => windowUpdate(0, 0), "PROTOCOL"],
  ["a window beyond 2^31-1", () => windowUpdate(0, 0x7fffffff), "PROTOCOL"],
  ["a PING of the wrong size", () => frame(frameType.ping, 0, 0, Buffer.alloc(7)), "PROTOCOL"],
  ["a PING on a stream", (id) => frame(frameType.ping, 0, id, Buffer.alloc(8)), "PROTOCOL"],
  ["a GOAWAY on a stream", (id) => frame(frameType.goaway, 0, id, Buffer.alloc(8)), "PROTOCOL"],
  ["RST_STREAM on a stream that is idle", () => rst(101), "PROTOCOL"],
  ["RST_STREAM of the wrong size", (id) => frame(frameType.rstStream, 0, id, Buffer.alloc(3)), "PROTOCOL"],
  [
    "CONTINUATION without HEADERS",
    (id) => frame(frameType.continuation, flag.endHeaders, id, literals(...ok)),
    "PROTOCOL",
  ],
  [
    "a header block that is interrupted",
    (id) => Buffer.concat([frame(frameType.headers, 0, id, literals(...ok)), ping]),
    "PROTOCOL",
  ],
  [
    "a header block without end",
    (id) =>
      Buffer.concat([
        frame(frameType.headers, 0, id, literals(...ok)),
        many(200, () => frame(frameType.continuation, 0, id, literals("x-a", "b".repeat(5_000)))),
      ]),
    "PROTOCOL",
  ],
  [
    "a header block that can't be decoded",
    (id) => frame(frameType.headers, 5, id, Buffer.of(0x88, 0xff, 0xff, 0xff, 0xff, 0xff)),
    "PROTOCOL",
  ],
  ["a frame larger than allowed", (id) => frame(frameType.headers, 5, id, Buffer.alloc(20_000)), "PROTOCOL"],
  ["more padding than payload", (id) => frame(frameType.data, flag.padded, id, Buffer.of(9, 0)), "PROTOCOL"],
  [
    "a head of more fields than may be",
    (id) => headers(id, [...ok, ...Array.from({ length: 600 }, () => "a")]),
    "TOO_LARGE",
  ],
  ["a PING flood", () => many(20_000, () => ping), "PROTOCOL"],
  ["a SETTINGS flood", () => many(1_000, () => settings(4, 65_535)), "PROTOCOL"],
  ["an empty frame flood", (id) => Buffer.concat([headers(id, ok, endHead), many(5_000, () => data(id, ""))]), "BODY"],
  ["a WINDOW_UPDATE flood", () => many(20_000, () => windowUpdate(0, 1)), "PROTOCOL"],
  [
    "a flood of ORIGIN frames (CVE-2026-48619)",
    () => many(5_000, (at) => frame(0x0c, 0, 0, Buffer.from(`\0\x0chttps://${String(at).padStart(4, "0")}`))),
    "PROTOCOL",
  ],
  [
    "a flood of ALTSVC frames (CVE-2026-123828)",
    () => many(5_000, () => frame(0x0a, 0, 0, Buffer.alloc(1_000))),
    "PROTOCOL",
  ],
  ["resets of its own making", (id) => rst(id, 2), "RESET"],
  ["a GOAWAY that disowns the request, each time", () => goaway(0), "REFUSED"],
  ["REFUSED_STREAM, each time", (id) => rst(id, 7), "REFUSED"],
  ["HTTP/1", () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), "PROTOCOL"],
  [
    "an answer, RST_STREAM and then more of it",
    (id) => Buffer.concat([headers(id, ok), rst(id, 0), data(id, "late")]),
    null,
  ],
];

describe("a client", () => {
  let victim: Victim;
  let server: Server;
  let answer: (id: number) => Buffer = () => Buffer.alloc(0);
  const sockets = new Set<Socket>();

  beforeAll(async () => {
    server = createServer((socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      const peer = new RawPeer(socket, true).greetAsServer();
      void (async () => {
        for (let answered = 0; ; answered += 1) {
          await peer.until(() => peer.of(frameType.headers).length > answered);
          peer.write(answer(peer.of(frameType.headers)[answered]!.id));
        }
      })().catch(() => {});
    });
    const port = await listen(server);
    victim = await Victim.start({
      services: {
        "hostile.test": { endpoints: [{ address: `127.0.0.1:${port}`, protocol: "h2" }], timeout: "10s" },
      },
    });
  });
  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    server?.close();
    await victim?.stop();
  });

  it.each(hostile)("survives a server that sends %s, and its other calls notice nothing", async (_, how, code) => {
    const rest = await victim.neighbour();
    answer = how;
    const controller = new AbortController();
    const response = await victim.caller.fetch("http://hostile.test/", { signal: controller.signal });
    const reason = response.headers.get("l5d-proxy-error") ?? "";
    const read = await response.text().then(
      () => "",
      () => "BODY",
    );
    if (code === null) expect([response.status, read]).toEqual([200, ""]);
    else if (code === "BODY") expect([response.status, read]).toEqual([200, "BODY"]);
    else {
      expect(response.status).toBeGreaterThanOrEqual(500);
      expect(reason).not.toBe("");
    }
    const { failed } = await rest();
    expect(failed).toEqual([]);
  });

  it("keeps nothing of a server that resets every request (rapid reset turned round)", async () => {
    answer = (id) => rst(id, 8);
    const go = async (times: number) => {
      for (let i = 0; i < times; i += 1)
        await (await victim.caller.fetch(`http://hostile.test/${i}`, { method: "POST" })).text();
    };
    await go(50);
    const before = await liveBytes();
    await go(500);
    expect((await liveBytes()) - before).toBeLessThan(8 << 20);
  });
});
