import type { Duplex } from "node:stream";
import { beforeEach, describe, expect, it } from "vitest";
import { ClientSession } from "./client-session.js";
import { errorCode, flag, frameType, preface, setting } from "./frame.js";
import { type Http2Options, resolveHttp2 } from "./limits.js";
import { ServerSession } from "./server-session.js";
import { connectionOf, echo, request, send, serviceOf, type Taken, Watcher } from "./test-exchanges.js";
import {
  data,
  duplexPair,
  endAll,
  endHead,
  frame,
  get,
  HandTicker,
  headers,
  literals,
  post,
  RawPeer,
  rst,
  settings,
  windowUpdate,
  word,
} from "./test-peer.js";

const calm = errorCode.enhanceYourCalm;

let reasons: string[];
let ticker: HandTicker;
let taken: Taken[];
beforeEach(() => {
  reasons = [];
  ticker = new HandTicker();
  taken = [];
});

function options(more: Http2Options = {}): Http2Options {
  return { onProtection: (reason) => reasons.push(reason), now: ticker.now, ticker, ...more };
}

/** A server of ours that keeps what it takes, and a raw peer. */
function server(more: Http2Options = {}, service = serviceOf((one) => taken.push(one))) {
  const [ours, theirs] = duplexPair();
  let closed = 0;
  const session = new ServerSession(ours, connectionOf(ours), service, resolveHttp2(options(more)), {
    onClosed: () => {
      closed += 1;
    },
  });
  const peer = new RawPeer(theirs);
  return { session, peer: peer.greet(), closed: () => closed, socket: ours as Duplex };
}

/** A client of ours and a raw server. */
function client(more: Http2Options = {}) {
  const [ours, theirs] = duplexPair();
  const watcher = new Watcher();
  const session = new ClientSession(ours, resolveHttp2(options(more)), watcher);
  const peer = new RawPeer(theirs, true);
  return { session, peer, watcher };
}

function repeat(count: number, make: (index: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
}

const answer = (one: Taken) => {
  one.sink.onHead(200, []);
  one.sink.onEnd(null);
};

describe("floods end the connection that they come on", () => {
  it.each<[string, string, (index: number) => Buffer, number]>([
    ["PING", "ping-flood", () => frame(frameType.ping, 0, 0, Buffer.alloc(8)), 2_000],
    ["SETTINGS", "settings-flood", () => settings(setting.initialWindowSize, 1_000), 200],
    ["SETTINGS acknowledgements", "settings-flood", () => frame(frameType.settings, flag.ack, 0), 200],
    ["GOAWAY", "settings-flood", () => frame(frameType.goaway, 0, 0, Buffer.alloc(8)), 200],
    ["WINDOW_UPDATE", "window-update-flood", () => windowUpdate(0, 1), 6_000],
    ["PRIORITY", "priority-flood", () => frame(frameType.priority, 0, 1, Buffer.alloc(5)), 500],
    ["unknown frames", "unknown-frame-flood", () => frame(0x77, 0, 0), 600],
    ["empty DATA", "empty-frame-flood", () => data(1, ""), 300],
    ["DATA of padding", "empty-frame-flood", () => frame(frameType.data, flag.padded, 1, Buffer.from([2, 0, 0])), 300],
    ["DATA for a stream that is gone", "closed-stream-flood", () => data(3, "x"), 5_000],
  ])("%s: %s", async (_name, reason, make, count) => {
    const { peer, closed, session } = server();
    peer.write(headers(1, post, endHead), headers(3, get), rst(3));
    if (reason === "settings-flood" && make(0)[3] === frameType.goaway) peer.write(headers(5, post, endHead));
    peer.write(repeat(count, make));
    await peer.untilEnded();
    expect(peer.goaway).toBe(calm);
    expect(reasons).toEqual([reason]);
    expect(session.closed).toBe(true);
    // The peer has time to read the GOAWAY, but not to stay.
    expect(closed()).toBe(0);
    ticker.pass(2_000);
    await turns();
    expect(closed()).toBe(1);
    expect(ticker.running).toBe(0);
    expect(taken[0]!.aborted?.code).toBe("SELVAGE_ERR_ABORTED");
  });

  it("what is within the budget is fine, and comes back with time", async () => {
    const { peer } = server();
    for (let round = 0; round < 5; round += 1) {
      peer.write(repeat(300, () => frame(frameType.priority, 0, 99, Buffer.alloc(5))));
      await peer.settled();
      ticker.pass(20_000);
    }
    expect(reasons).toEqual([]);
  });
});

describe("rapid reset", () => {
  it("is stopped after its budget, and never more calls at work than allowed", async () => {
    let working = 0;
    let most = 0;
    const service = serviceOf((one) => {
      working += 1;
      most = Math.max(most, working);
      const done = () => {
        working -= 1;
      };
      one.whenAborted = done;
    });
    const { peer } = server({ maxConcurrentStreams: 20 }, service);
    peer.write(repeat(5_000, (index) => Buffer.concat([headers(index * 2 + 1, get), rst(index * 2 + 1)])));
    await peer.untilEnded();
    expect(peer.goaway).toBe(calm);
    expect(reasons.at(-1)).toBe("reset-flood");
    expect(most).toBeLessThanOrEqual(20);
    expect(working).toBe(0);
  });

  it("in one read starts no more calls than may be at work, since nobody hears of the resets before its end", async () => {
    let calls = 0;
    const { peer, session } = server(
      { maxConcurrentStreams: 20 },
      serviceOf(() => {
        calls += 1;
      }),
    );
    peer.write(repeat(100, (index) => Buffer.concat([headers(index * 2 + 1, get), rst(index * 2 + 1)])));
    await peer.settled();
    expect([calls, session.active, reasons.filter((reason) => reason === "concurrency").length]).toEqual([20, 0, 80]);
    peer.write(repeat(100, (index) => Buffer.concat([headers(index * 2 + 1001, get), rst(index * 2 + 1001)])));
    await peer.settled();
    expect([calls, session.active]).toEqual([40, 0]);
  });

  it("does not free the slot of a call that goes on after its stream was reset", async () => {
    const { peer, session } = server(
      { maxConcurrentStreams: 3 },
      serviceOf((one) => {
        one.obedient = false;
        taken.push(one);
      }),
    );
    peer.write(repeat(10, (index) => Buffer.concat([headers(index * 2 + 1, get), rst(index * 2 + 1)])));
    await peer.settled();
    expect(taken.length).toBe(3);
    expect(session.active).toBe(3);
    expect(reasons.filter((reason) => reason === "concurrency").length).toBe(7);
    expect(peer.reset(7)).toBe(errorCode.refusedStream);
    for (const one of taken) one.sink.onError(one.aborted!);
    expect(session.active).toBe(0);
    peer.write(headers(101, get));
    await peer.settled();
    expect(taken.length).toBe(4);
  });

  it("by a server leaves nothing behind at the client", async () => {
    const { session, peer } = client();
    peer.greetAsServer();
    await peer.until(() => session.available > 100);
    for (let id = 1; id < 2_000; id += 2) {
      const one = send(session, request());
      peer.write(rst(id));
      await one.done;
    }
    expect(session.active).toBe(0);
    expect(session.streams.size).toBe(0);
  });
});

describe("made-you-reset: the peer makes us reset", () => {
  const primitives: [string, (id: number) => Buffer][] = [
    ["WINDOW_UPDATE of nothing", (id) => windowUpdate(id, 0)],
    ["WINDOW_UPDATE beyond the maximum", (id) => windowUpdate(id, 0x7fffffff)],
    ["DATA after END_STREAM", (id) => data(id, "x")],
    ["HEADERS after END_STREAM", (id) => headers(id, ["x", "y"])],
    ["a PRIORITY of the wrong size", (id) => frame(frameType.priority, 0, id, Buffer.alloc(4))],
    ["a PRIORITY on itself", (id) => frame(frameType.priority, 0, id, Buffer.concat([word(id), Buffer.from([1])]))],
  ];

  it.each(primitives)("%s frees no slot while the call goes on", async (_name, primitive) => {
    const { peer } = server(
      { maxConcurrentStreams: 5 },
      serviceOf((one) => {
        one.obedient = false;
        taken.push(one);
      }),
    );
    peer.write(repeat(50, (index) => Buffer.concat([headers(index * 2 + 1, get), primitive(index * 2 + 1)])));
    await peer.settled();
    expect(taken.length).toBe(5);
    expect(taken.every((one) => one.aborted !== null)).toBe(true);
  });

  it.each(primitives)("%s is stopped after its budget", async (_name, primitive) => {
    const { peer } = server();
    peer.write(repeat(2_000, (index) => Buffer.concat([headers(index * 2 + 1, get), primitive(index * 2 + 1)])));
    await peer.untilEnded();
    expect(peer.goaway).toBe(calm);
    // The last: requests beyond what a read may start are refused, and that has a budget of its own.
    expect(["made-you-reset", "priority-flood", "reset-flood"]).toContain(reasons.at(-1));
    expect(taken.length).toBeLessThan(600);
  });

  it("malformed requests are counted too", async () => {
    const { peer } = server();
    peer.write(repeat(2_000, (index) => headers(index * 2 + 1, [...get, "Bad", "name"])));
    await peer.untilEnded();
    expect(reasons).toEqual(["made-you-reset"]);
    expect(taken.length).toBe(0);
  });
});

describe("header blocks", () => {
  it.each([
    ["full", 16_000],
    ["tiny", 1],
    ["empty", 0],
  ])("never ending in %s CONTINUATION frames", async (_name, bytes) => {
    const { peer } = server();
    peer.write(frame(frameType.headers, 0, 1, literals(...get)));
    peer.write(repeat(100, () => frame(frameType.continuation, 0, 1, Buffer.alloc(bytes, 0x82))));
    await peer.untilEnded();
    expect(peer.goaway).toBe(calm);
    expect(reasons).toEqual(["continuation-flood"]);
  });

  it("that are never finished end the connection", async () => {
    const { peer } = server({ headerTimeoutMs: 5_000 });
    await peer.settled();
    peer.write(frame(frameType.headers, 0, 1, literals(...get)));
    await turns();
    ticker.pass(4_000);
    expect(reasons).toEqual([]);
    ticker.pass(2_000);
    await peer.untilEnded();
    expect(reasons).toEqual(["slow-headers"]);
  });

  it("cut off by the end of the connection leave nothing", async () => {
    for (let round = 0; round < 200; round += 1) {
      const { peer, closed } = server();
      peer.write(frame(frameType.headers, 0, 1, literals(...get).subarray(0, round % 30)));
      await turns();
      peer.destroy();
      await turns();
      await turns();
      expect(closed()).toBe(1);
    }
    expect(ticker.running).toBe(0);
  });

  it.each<[string, string[], string]>([
    ["more bytes than allowed", ["x-a", "a".repeat(3_000), "x-b", "b".repeat(3_000)], "header-bytes"],
    ["more pairs than allowed", Array.from({ length: 80 }, () => "a"), "header-pairs"],
    ["more cookie crumbs than allowed", Array.from({ length: 40 }, () => ["cookie", ""]).flat(), "header-pairs"],
  ])("of %s are answered 431, and the connection goes on", async (_name, fields, reason) => {
    const { peer } = server({ maxHeaderListBytes: 5_000, maxHeaderListPairs: 32 }, echo);
    peer.write(headers(1, [...get, ...fields]), headers(3, get));
    await peer.settled();
    const heads = peer.of(frameType.headers).map((one) => peer.head(one)[":status"]);
    expect(heads).toEqual(["431", "200"]);
    expect(reasons).toEqual([reason]);
  });

  it("of references to one large entry cost nothing but the answer 431 (HPACK bomb)", async () => {
    const { peer } = server({}, echo);
    const entry = Buffer.concat([Buffer.from([0x40]), literals("x-b", "b".repeat(3_000)).subarray(1)]);
    const first = Buffer.concat([literals(...get), entry]);
    const bomb = Buffer.concat([literals(...get), Buffer.alloc(15_000, 0x80 | 62)]);
    peer.write(frame(frameType.headers, endAll, 1, first));
    const before = process.memoryUsage().heapUsed;
    for (let id = 3; id < 203; id += 2) peer.write(frame(frameType.headers, endAll, id, bomb));
    await peer.settled();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100_000_000);
    expect(peer.of(frameType.headers).length).toBe(101);
    expect(reasons.every((reason) => reason === "header-bytes")).toBe(true);
  });

  it("of a response larger than allowed fail that request only", async () => {
    const { session, peer } = client({ maxHeaderListPairs: 16 });
    peer.greetAsServer();
    const one = send(session, request());
    const other = send(session, request());
    const many = Array.from({ length: 80 }, () => "a");
    peer.write(headers(1, [":status", "200", ...many]), headers(3, [":status", "204"]));
    // Not the caller's fault, so no 431.
    expect((await one.done).error).toMatchObject({ code: "SELVAGE_ERR_TOO_LARGE", status: 502 });
    expect((await other.done).status).toBe(204);
  });

  it.each<[string, Buffer]>([
    ["an index beyond the tables", Buffer.from([0xff, 0x80, 0x01])],
    ["index 0", Buffer.from([0x80])],
    ["an integer without end", Buffer.alloc(40, 0xff)],
    ["a string longer than the block", Buffer.from([0x00, 0x7f, 0x01])],
    ["a Huffman string with a padding of zeroes", Buffer.from([0x00, 0x81, 0x00, 0x01, 0x61])],
    ["a Huffman string with EOS", Buffer.from([0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00])],
    ["a table size beyond ours", Buffer.from([0x3f, 0xe1, 0xff, 0x03])],
    ["a table size after a field", Buffer.from([0x82, 0x20])],
    ["three table sizes", Buffer.from([0x20, 0x20, 0x20, 0x82])],
  ])("with %s end the connection as COMPRESSION_ERROR", async (_name, block) => {
    const { peer } = server();
    peer.write(frame(frameType.headers, endAll, 1, block));
    await peer.untilEnded();
    expect(peer.goaway).toBe(errorCode.compression);
    expect(taken.length).toBe(0);
  });
});

describe("peers that don't take what they asked for", () => {
  it("a stream without window is reset after the stall timeout, its neighbours go on", async () => {
    const { peer } = server({ stallTimeoutMs: 10_000 });
    peer.write(settings(setting.initialWindowSize, 10), headers(1, get));
    await peer.settled();
    const one = taken[0]!;
    one.sink.onHead(200, []);
    one.sink.onData(Buffer.alloc(100_000));
    expect(one.pauses).toBe(1);
    ticker.pass(9_000);
    peer.write(headers(3, get));
    await peer.settled();
    answer(taken[1]!);
    expect(one.aborted).toBeNull();
    ticker.pass(3_000);
    await peer.settled();
    expect(reasons).toEqual(["stalled-stream"]);
    expect(peer.reset(1)).toBe(errorCode.cancel);
    expect(one.aborted?.origin).toBe("caller");
    expect(peer.of(frameType.headers, 3).length).toBe(1);
  });

  it("a stream that is given a byte at a time is reset all the same", async () => {
    const { peer } = server({ stallTimeoutMs: 10_000 });
    peer.write(settings(setting.initialWindowSize, 0), headers(1, get));
    await peer.settled();
    taken[0]!.sink.onHead(200, []);
    taken[0]!.sink.onData(Buffer.alloc(100_000));
    for (let second = 0; second < 12; second += 1) {
      peer.write(windowUpdate(1, 1));
      await peer.settled();
      ticker.pass(1_000);
    }
    await peer.settled();
    expect(reasons).toEqual(["stalled-stream"]);
  });

  it("a stream that moves enough is not", async () => {
    const { peer } = server({ stallTimeoutMs: 10_000 });
    peer.write(settings(setting.initialWindowSize, 0), headers(1, get));
    await peer.settled();
    taken[0]!.sink.onHead(200, []);
    taken[0]!.sink.onData(Buffer.alloc(500_000));
    for (let second = 0; second < 40; second += 1) {
      peer.write(windowUpdate(1, 10_000), windowUpdate(0, 10_000));
      await peer.settled();
      ticker.pass(1_000);
    }
    expect(reasons).toEqual([]);
  });

  it("a socket that takes nothing is ended", async () => {
    const [ours] = duplexPair();
    ours._write = () => {};
    let closed = 0;
    const config = resolveHttp2(options({ writeTimeoutMs: 5_000, keepAliveIntervalMs: 0 }));
    const session = new ServerSession(ours, connectionOf(ours), echo, config, { onClosed: () => closed++ });
    await turns();
    ours.push(Buffer.concat([preface, settings(), frame(frameType.settings, flag.ack, 0)]));
    await turns();
    ticker.pass(7_000);
    await turns();
    expect(reasons).toEqual(["write-stall"]);
    expect(session.closed).toBe(true);
    expect(closed).toBe(1);
  });

  it("pieces of body that nobody reads pin little more than themselves", async () => {
    const { peer } = server();
    const piece = Buffer.alloc(2_000);
    const padding = frame(frameType.ping, 0, 0, Buffer.alloc(8));
    // In one read: a little that is held among much that is not.
    peer.write(headers(1, post, endHead), repeat(1_500, () => padding).subarray(0, 17 * 800), data(1, piece), padding);
    await peer.settled();
    const sizes: number[] = [];
    taken[0]!.x.body!.pipe({
      onData: (chunk) => sizes.push(chunk.buffer.byteLength),
      onEnd() {},
    });
    expect(sizes.length).toBe(1);
    expect(sizes[0]).toBeLessThanOrEqual(4 * 2_048);
  });

  it("a body that comes byte by byte and that nobody reads is put together", async () => {
    const { peer } = server();
    peer.write(headers(1, post, endHead));
    const count = 20_000;
    for (let sent = 0; sent < count; sent += 1_000) {
      peer.write(...Array.from({ length: 1_000 }, (_, i) => data(1, Buffer.of((sent + i) % 251))));
    }
    await peer.settled();
    const chunks: Uint8Array[] = [];
    taken[0]!.x.body!.pipe({
      onData: (chunk) => chunks.push(chunk),
      onEnd() {},
    });
    const body = Buffer.concat(chunks);
    expect(body.equals(Buffer.from(Array.from({ length: count }, (_, i) => i % 251)))).toBe(true);
    expect(chunks.length).toBeLessThan(20);
    const pinned = new Set(chunks.map((chunk) => chunk.buffer));
    expect([...pinned].reduce((sum, buffer) => sum + buffer.byteLength, 0)).toBeLessThan(2 * count);
  });

  it("one that asks without reading is made to wait", async () => {
    const [ours] = duplexPair();
    ours._write = () => {};
    const big = "v".repeat(1_000);
    const service = serviceOf(({ sink }) => {
      sink.onHead(200, ["x-big", big]);
      sink.onEnd(null);
    });
    new ServerSession(ours, connectionOf(ours), service, resolveHttp2(options()), { onClosed: () => {} });
    await turns();
    ours.push(Buffer.concat([preface, settings(), frame(frameType.settings, flag.ack, 0)]));
    for (let round = 0; round < 20; round += 1) {
      ours.push(repeat(100, (index) => headers((round * 100 + index) * 2 + 1, get)));
      await turns();
    }
    expect(ours.isPaused()).toBe(true);
  });
});

describe("a peer that makes us answer more than memory should hold", () => {
  it("is ended (output-overflow)", async () => {
    const [ours] = duplexPair();
    ours._write = () => {};
    const big = "v".repeat(60_000);
    const service = serviceOf(({ sink }) => {
      sink.onHead(200, ["x-big", big]);
      sink.onEnd(null);
    });
    const session = new ServerSession(ours, connectionOf(ours), service, resolveHttp2(options()), {
      onClosed: () => {},
    });
    await turns();
    const asks = repeat(700, (index) => headers(index * 2 + 1, get));
    ours.push(Buffer.concat([preface, settings(), frame(frameType.settings, flag.ack, 0), asks]));
    await turns();
    expect(reasons).toEqual(["output-overflow"]);
    expect(session.closed).toBe(true);
  });
});

describe("peers that are silent", () => {
  it("before the preface are ended", async () => {
    const [ours, theirs] = duplexPair();
    new ServerSession(ours, connectionOf(ours), echo, resolveHttp2(options()), { onClosed: () => {} });
    const peer = new RawPeer(theirs);
    ticker.pass(12_000);
    await peer.untilEnded();
    expect(reasons).toEqual(["settings-timeout"]);
    expect(peer.goaway).toBe(errorCode.settingsTimeout);
  });

  it("and never acknowledge our SETTINGS are ended", async () => {
    const { session, peer, watcher } = client();
    peer.write(settings());
    await watcher.ready;
    ticker.pass(12_000);
    await watcher.closed;
    expect(watcher.error?.code).toBe("SELVAGE_ERR_TIMEOUT");
    expect(session.closed).toBe(true);
  });

  it("for longer than the keep-alive are asked, then ended", async () => {
    const { peer, watcher } = client({ keepAliveIntervalMs: 10_000, keepAliveTimeoutMs: 4_000 });
    peer.greetAsServer();
    await watcher.ready;
    ticker.pass(12_000);
    await peer.until(() => peer.of(frameType.ping).length === 1);
    peer.write(frame(frameType.ping, flag.ack, 0, peer.of(frameType.ping)[0]!.payload));
    await turns();
    ticker.pass(12_000);
    await peer.until(() => peer.of(frameType.ping).length === 2);
    ticker.pass(5_000);
    await watcher.closed;
    expect(reasons).toEqual(["keep-alive-timeout"]);
  });

  it("are not blamed for time that this process spent busy", async () => {
    const { peer, watcher, session } = client({ keepAliveIntervalMs: 10_000, keepAliveTimeoutMs: 4_000 });
    peer.greetAsServer();
    await watcher.ready;
    ticker.pass(12_000);
    ticker.nowMs += 60_000;
    ticker.pass(1_000);
    expect(session.closed).toBe(false);
  });
});

/** Lets what was pushed be read and answered. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
