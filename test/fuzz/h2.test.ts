import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ClientSession } from "../../packages/http2/src/h2/client-session.js";
import { flag, frameType, preface } from "../../packages/http2/src/h2/frame.js";
import { FrameReader } from "../../packages/http2/src/h2/frame-reader.js";
import { HpackDecoder } from "../../packages/http2/src/h2/hpack-decoder.js";
import { HpackEncoder } from "../../packages/http2/src/h2/hpack-encoder.js";
import { huffmanDecode, huffmanEncode, huffmanLength, huffmanOutput } from "../../packages/http2/src/h2/huffman.js";
import { resolveHttp2 } from "../../packages/http2/src/h2/limits.js";
import { ServerSession } from "../../packages/http2/src/h2/server-session.js";
import { Answer, connectionOf, echo, request, Watcher } from "../../packages/http2/src/h2/test-exchanges.js";
import {
  data,
  duplexPair,
  endHead,
  frame,
  get,
  HandTicker,
  headers,
  post,
  RawPeer,
  rst,
  settings,
  windowUpdate,
} from "../../packages/http2/src/h2/test-peer.js";
import { holds } from "./holds.js";

const text = (unit: string, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...unit), minLength: 1, maxLength });
const name = fc.oneof(
  fc.constantFrom("accept", "x-tenant", "content-type", "cookie", "x-request-id", ":path", "authorization", "etag"),
  text("abcdefghijklmnopqrstuvwxyz0123456789-_", 40),
);
const value = fc.oneof(
  fc.constantFrom("", "a", "application/json", "v".repeat(3_000)),
  text("abcXYZ 0189-/;=\xe9\xff", 200).map((one) => one.trim()),
);
const block = fc.array(fc.tuple(name, value), { maxLength: 20 });
const step = fc.oneof(
  { weight: 8, arbitrary: block.map((fields) => ({ fields, limit: -1 })) },
  { weight: 1, arbitrary: fc.nat(5_000).map((limit) => ({ fields: [] as [string, string][], limit })) },
);

describe("HPACK", () => {
  it("what is encoded is decoded, block after block, through every change of the table's size", async () => {
    const buffer = Buffer.alloc(262_144);
    await holds(
      "what is encoded is decoded, block after block, through every change of the table's size",
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(4_096);
        for (const { fields, limit } of steps) {
          if (limit >= 0) encoder.setPeerLimit(limit);
          encoder.begin(buffer, 0);
          for (const [one, other] of fields) encoder.field(one, other);
          encoder.end();
          const list: string[] = [];
          const sink = { field: (field: { text: string }, other: string) => void list.push(field.text, other) };
          expect(decoder.decode(buffer, 0, encoder.at, sink)).toBe(true);
          expect(list).toEqual(fields.flat());
          expect(encoder.entries).toBe(decoder.entries);
        }
      }),
    );
  });

  it("Huffman coding is undone by decoding, and random input never breaks out", async () => {
    const buffer = Buffer.alloc(4_096);
    await holds(
      "Huffman coding is undone by decoding, and random input never breaks out",
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        const plain = Buffer.from(bytes).toString("latin1");
        const end = huffmanEncode(plain, buffer, 0);
        expect(end).toBe(huffmanLength(plain));
        expect(huffmanOutput().toString("latin1", 0, huffmanDecode(buffer, 0, end))).toBe(plain);
        const length = huffmanDecode(Buffer.from(bytes), 0, bytes.length);
        expect(length).toBeLessThanOrEqual((bytes.length * 8) / 5);
      }),
    );
  });

  it("random blocks are decoded or refused, within the table's bounds", async () => {
    await holds(
      "random blocks are decoded or refused, within the table's bounds",
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (blocks) => {
        const decoder = new HpackDecoder(4_096);
        const sink = { field() {} };
        for (const bytes of blocks) decoder.decode(Buffer.from(bytes), 0, bytes.length, sink);
        expect(decoder.entries).toBeLessThanOrEqual(128);
      }),
    );
  });
});

const id = fc.constantFrom(0, 1, 1, 3, 3, 5, 7, 2, 101);
const payload = fc.uint8Array({ maxLength: 60 });
const anyFrame = fc.oneof(
  { weight: 4, arbitrary: id.map((on) => headers(on, get)) },
  { weight: 4, arbitrary: id.map((on) => headers(on, post, endHead)) },
  { weight: 2, arbitrary: id.map((on) => headers(on, [":status", "200", "x-a", "1"], endHead)) },
  { weight: 2, arbitrary: id.map((on) => headers(on, ["x-t", "1"])) },
  { weight: 2, arbitrary: id.map((on) => headers(on, get, 0)) },
  { weight: 4, arbitrary: fc.tuple(id, payload, fc.boolean()).map(([on, body, end]) => data(on, body, end ? 1 : 0)) },
  { weight: 2, arbitrary: id.map((on) => rst(on)) },
  { weight: 2, arbitrary: fc.tuple(id, fc.nat()).map(([on, bytes]) => windowUpdate(on, bytes)) },
  { weight: 2, arbitrary: fc.tuple(fc.nat(9), fc.nat()).map(([one, bytes]) => settings(one, bytes)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.nat(12), fc.nat(255), id, payload)
      .map(([type, flags, on, body]) => frame(type, flags, on, body)),
  },
  { weight: 1, arbitrary: payload.map((bytes) => Buffer.from(bytes)) },
);
const script = fc.array(anyFrame, { maxLength: 40 }).map((frames) => Buffer.concat(frames));
const cuts = fc.array(fc.nat(400), { maxLength: 6 });

function cut(bytes: Buffer, at: number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  for (const length of at) {
    pieces.push(bytes.subarray(from, from + length));
    from += length;
  }
  pieces.push(bytes.subarray(from));
  return pieces.filter((piece) => piece.length > 0);
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("sessions", () => {
  it("a server takes any bytes without throwing, ends when told to, and keeps nothing", async () => {
    await holds(
      "a server takes any bytes without throwing, ends when told to, and keeps nothing",
      fc.asyncProperty(script, cuts, fc.boolean(), async (bytes, at, greeted) => {
        const ticker = new HandTicker();
        const [ours, theirs] = duplexPair();
        let closed = 0;
        const config = resolveHttp2({ ticker, now: ticker.now, maxConcurrentStreams: 3, restoreHttp1: true });
        const session = new ServerSession(ours, connectionOf(ours), echo, config, { onClosed: () => closed++ });
        const peer = new RawPeer(theirs);
        if (greeted) peer.greet();
        for (const piece of cut(greeted ? bytes : Buffer.concat([preface, bytes]), at)) peer.write(piece);
        await turns(8);
        expect(session.active).toBeLessThanOrEqual(3);
        ticker.pass(100_000);
        session.destroy();
        ticker.pass(5_000);
        await turns(6);
        expect([session.closed, closed, session.streams.size, ticker.running]).toEqual([true, 1, 0, 0]);
      }),
    );
  });

  it("a client takes any bytes without throwing, and every request ends exactly once", async () => {
    await holds(
      "a client takes any bytes without throwing, and every request ends exactly once",
      fc.asyncProperty(script, cuts, async (bytes, at) => {
        const ticker = new HandTicker();
        const [ours, theirs] = duplexPair();
        const watcher = new Watcher();
        const session = new ClientSession(ours, resolveHttp2({ ticker, now: ticker.now, carryHttp1: true }), watcher);
        const peer = new RawPeer(theirs, true).greetAsServer();
        const answers = [0, 1, 2].map(() => {
          const answer = new Answer();
          session.call(request({ version: "1.1" }), answer);
          return answer;
        });
        for (const piece of cut(bytes, at)) peer.write(piece);
        await turns(8);
        ticker.pass(100_000);
        session.destroy();
        ticker.pass(5_000);
        await turns(6);
        expect(answers.map((answer) => answer.terminals)).toEqual([1, 1, 1]);
        expect(watcher.events.filter((event) => event === "closed").length).toBe(1);
        expect([session.active, session.streams.size, ticker.running]).toEqual([0, 0, 0]);
      }),
    );
  });

  it("frames are the same however reads cut them", async () => {
    const read = (pieces: Buffer[]): string[] => {
      const seen: string[] = [];
      let body = "";
      const reader = new FrameReader(
        {
          onFrame: (type, flags, on, buffer, start, end) =>
            void seen.push(`${type}/${flags}/${on}/${buffer.toString("hex", start, end)}`),
          onDataStart: (on, flags, length) => {
            body = `${frameType.data}/${flags & flag.padded}/${on}/${length}/`;
          },
          onDataPiece: (buffer, start, end) => {
            body += buffer.toString("hex", start, end);
          },
          onDataEnd: (padding) => void seen.push(`${body}/${padding}`),
          onReadError: (code) => {
            seen.push(`error ${code}`);
            reader.stop();
          },
        },
        16_384,
        false,
      );
      for (const piece of pieces) reader.read(piece);
      return seen;
    };
    await holds(
      "frames are the same however reads cut them",
      fc.property(script, fc.array(fc.nat(20), { maxLength: 40 }), (bytes, at) => {
        expect(read(cut(bytes, at))).toEqual(read([bytes]));
      }),
    );
  });
});
