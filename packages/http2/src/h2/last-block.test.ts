import { describe, expect, it } from "vitest";
import { errorCode, flag, frameType } from "./frame.js";
import { LastBlock } from "./last-block.js";
import { client, request, send, server } from "./test-exchanges.js";
import { data, endAll, endHead, frame, get, headers, literals, post } from "./test-peer.js";

const block = (id: number, octets: Uint8Array, flags: number = endAll) => frame(frameType.headers, flags, id, octets);
/** `:path` with incremental indexing: the newest entry of the dynamic table, which is index 62. */
const insertPath = (path: string) => Buffer.from([0x44, path.length, ...Buffer.from(path)]);
const insertAuthority = (name: string) => Buffer.from([0x41, name.length, ...Buffer.from(name)]);
/** GET, http, and whatever is the newest entry of the table. */
const getNewest = Buffer.from([0x82, 0x86, 0xbe]);

describe("a head of the same octets as the one before", () => {
  it("is the same request again, and is decoded no more", async () => {
    const { peer, taken } = server();
    const fields = [...get, "host", "shop.test", "x-a", "1", "cookie", "a=1", "cookie", "b=2"];
    for (const id of [1, 3, 5, 7]) peer.write(headers(id, fields));
    await peer.settled();
    for (const { x } of taken) {
      expect([x.method, x.authority, x.path]).toEqual(["GET", "shop.test", "/"]);
      expect(x.headers).toEqual(["x-a", "1", "cookie", "a=1; b=2"]);
    }
    expect(taken).toHaveLength(4);
    expect(taken[3]!.x.headers).toBe(taken[2]!.x.headers);
  });

  it("means something else when the table has changed", async () => {
    const { peer, taken } = server();
    const rest = Buffer.from([0x82, 0x86]);
    peer.write(block(1, Buffer.concat([rest, insertPath("/a")])));
    for (const id of [3, 5, 7]) peer.write(block(id, getNewest));
    peer.write(block(9, Buffer.concat([rest, insertPath("/b")])));
    for (const id of [11, 13, 15]) peer.write(block(id, getNewest));
    await peer.settled();
    expect(taken.map(({ x }) => x.path)).toEqual(["/a", "/a", "/a", "/a", "/b", "/b", "/b", "/b"]);
  });

  it("means nothing when the table was emptied", async () => {
    const { peer, taken } = server();
    peer.write(block(1, Buffer.concat([Buffer.from([0x82, 0x86]), insertPath("/a")])));
    for (const id of [3, 5, 7]) peer.write(block(id, getNewest));
    peer.write(block(9, Buffer.concat([Buffer.from([0x20, 0x3f, 0xe1, 0x1f]), literals(...get)])));
    peer.write(block(11, getNewest));
    await peer.untilEnded();
    expect([taken.length, peer.goaway]).toEqual([5, errorCode.compression]);
  });

  it("changes the table again when it did", async () => {
    const { peer, taken } = server();
    const adds = Buffer.concat([Buffer.from([0x82, 0x86, 0x84]), insertAuthority("a")]);
    for (const id of [1, 3, 5]) peer.write(block(id, adds));
    // The oldest of the three entries; there is a fourth only if one was added twice.
    peer.write(block(7, Buffer.from([0x82, 0x86, 0x84, 0xc0])), block(9, Buffer.from([0x82, 0x86, 0x84, 0xc1])));
    await peer.untilEnded();
    expect(taken.map(({ x }) => x.authority)).toEqual(["a", "a", "a", "a"]);
    expect(peer.goaway).toBe(errorCode.compression);
  });

  it("is judged by whether a body follows", async () => {
    const { peer, taken } = server();
    const fields = [...post, "content-length", "1"];
    const whole = (id: number) => peer.write(headers(id, fields, endHead), data(id, "x", flag.endStream));
    for (const id of [1, 3, 5]) whole(id);
    peer.write(headers(7, fields));
    for (const id of [9, 11, 13]) whole(id);
    peer.write(headers(15, fields));
    await peer.settled();
    expect([peer.reset(7), peer.reset(15), taken.length]).toEqual([errorCode.protocol, errorCode.protocol, 6]);
  });

  it("is refused again when it was refused", async () => {
    const { peer, taken } = server();
    for (const id of [1, 3, 5, 7]) peer.write(headers(id, [...get, "host", "other.test"]));
    await peer.settled();
    expect([1, 3, 5, 7].map((id) => peer.reset(id))).toEqual(new Array(4).fill(errorCode.protocol));
    expect(taken).toHaveLength(0);
  });

  it("asks for a tunnel each time, once", async () => {
    const { peer, taken } = server({ connectProtocol: true });
    const fields = [":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":authority", "a", ":path", "/"];
    for (const id of [1, 3, 5, 7]) peer.write(headers(id, fields, endHead));
    await peer.settled();
    expect(taken.map(({ x }) => x.headers)).toEqual(new Array(4).fill(["upgrade", "websocket"]));
  });

  it("isn't taken for trailers, nor trailers for a head", async () => {
    const { session, peer } = client();
    const answers = [1, 2, 3, 4].map(() => send(session, request()));
    const ok = Buffer.from([0x88]);
    for (const id of [1, 3, 5]) peer.write(block(id, ok, endHead), headers(id, ["x-sum", "1"]));
    peer.write(block(7, ok, endHead), block(7, ok));
    const done = await Promise.all(answers.map((answer) => answer.done));
    expect(done.map((answer) => answer.status)).toEqual([200, 200, 200, 200]);
    expect(done.slice(0, 3).map((answer) => answer.trailers)).toEqual(new Array(3).fill(["x-sum", "1"]));
    expect(done[3]!.error?.code).toBe("SELVAGE_ERR_PROTOCOL");
    expect(done[2]!.trailers).toBe(done[1]!.trailers);
  });
});

describe("the last block", () => {
  const octets = Buffer.from("abcdef");

  it("is remembered from the second on, and only while the table stays", () => {
    const last = new LastBlock();
    last.remember(octets, 0, 6, 1);
    expect(last.is(octets, 0, 6, 1)).toBe(false);
    last.remember(octets, 0, 6, 1);
    expect(last.is(octets, 0, 6, 1)).toBe(true);
    expect(last.is(octets, 0, 5, 1)).toBe(false);
    expect(last.is(Buffer.from("abcdeg"), 0, 6, 1)).toBe(false);
    expect(last.is(octets, 0, 6, 2)).toBe(false);
    last.forget();
    expect(last.is(octets, 0, 6, 1)).toBe(false);
  });

  it("holds a copy, since a block lies in memory that is read into again", () => {
    const last = new LastBlock();
    const lent = Buffer.from(octets);
    for (let i = 0; i < 2; i++) last.remember(lent, 0, 6, 1);
    lent.fill(0);
    expect([last.is(lent, 0, 6, 1), last.is(octets, 0, 6, 1)]).toEqual([false, true]);
  });

  it("isn't an empty or a long one", () => {
    const last = new LastBlock();
    for (const length of [0, 257]) {
      for (let i = 0; i < 3; i++) last.remember(Buffer.alloc(length), 0, length, 1);
      expect(last.is(Buffer.alloc(length), 0, length, 1)).toBe(false);
    }
  });
});
