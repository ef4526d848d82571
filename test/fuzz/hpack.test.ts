import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { flag, frameType, preface } from "../../packages/http2/src/h2/frame.js";
import { FrameReader } from "../../packages/http2/src/h2/frame-reader.js";
import { HpackDecoder } from "../../packages/http2/src/h2/hpack-decoder.js";
import { HpackEncoder } from "../../packages/http2/src/h2/hpack-encoder.js";
import { duplexPair, frame, settings } from "../../packages/http2/src/h2/test-peer.js";
import { holds } from "./holds.js";

// Against nghttp2, which node:http2 is made of: each reads what the other wrote.

const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.!";
const name = fc.oneof(
  fc.constantFrom("accept", "x-tenant", "content-type", "x-request-id", "authorization", "etag", "date", "user-agent"),
  fc.string({ unit: fc.constantFrom(...letters), minLength: 1, maxLength: 40 }).map((text) => `x${text}`),
);
const value = fc.oneof(
  fc.constantFrom("", "a", "application/json", "v".repeat(3_000), "%20", "{}"),
  fc.string({ unit: "grapheme-ascii", maxLength: 200 }).map((text) => text.trim()),
);
const field = fc.tuple(name, value);
const known = fc.array(field, { minLength: 1, maxLength: 8 });
/** Blocks of fields, most of which come again: tables are for what repeats. */
const blocks = known.chain((some) =>
  fc.array(fc.array(fc.oneof(fc.constantFrom(...some), field), { maxLength: 12 }), { minLength: 1, maxLength: 12 }),
);
const tableBytes = fc.constantFrom(4_096, 4_096, 0, 64, 1_000, 65_536);
const pseudo = [":method", "GET", ":scheme", "http", ":authority", "a.test", ":path", "/"];

/** The fields of some streams as node:http2 reads them. */
async function readByNode(write: (socket: Duplex) => void, streams: number): Promise<string[][]> {
  const server = createServer({ settings: { maxHeaderListSize: 1_000_000 } });
  const [ours, theirs] = duplexPair();
  const read: string[][] = [];
  await new Promise<void>((resolve, reject) => {
    server.on("sessionError", reject);
    server.on("stream", (stream: ServerHttp2Stream, _headers: unknown, _flags: unknown, raw: string[]) => {
      stream.on("error", () => {});
      read.push(raw);
      if (read.length === streams) resolve();
    });
    server.emit("connection", theirs);
    ours.resume();
    ours.on("close", () => reject(new Error(`closed after ${read.length} of ${streams}`)));
    write(ours);
  });
  ours.destroy();
  theirs.destroy();
  return read;
}

/** The fields of some requests of node:http2 as our decoder reads them, which says that its table is of this size. */
async function readByUs(lists: readonly (readonly [string, string])[][], bytes: number): Promise<string[][]> {
  const [ours, theirs] = duplexPair();
  const decoder = new HpackDecoder(Math.max(bytes, 4_096));
  const read: string[][] = [];
  let head: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    const reader = new FrameReader(
      {
        onFrame(type, flags, _id, buffer, start, end) {
          if (type !== frameType.headers && type !== frameType.continuation) return;
          if ((flags & flag.priority) !== 0 && type === frameType.headers) start += 5;
          head.push(Buffer.from(buffer.subarray(start, end)));
          if ((flags & flag.endHeaders) === 0) return;
          const block = Buffer.concat(head);
          head = [];
          const list: string[] = [];
          const sink = { field: (one: { text: string }, other: string) => void list.push(one.text, other) };
          if (!decoder.decode(block, 0, block.length, sink)) reject(new Error("a block was refused"));
          read.push(list);
          if (read.length === lists.length) resolve();
        },
        onDataStart() {},
        onDataPiece() {},
        onDataEnd() {},
        onReadError: (_code, message) => reject(new Error(message)),
      },
      16_384,
      true,
    );
    ours.on("data", (chunk: Buffer) => reader.read(chunk));
    ours.write(Buffer.concat([settings(1, bytes, 6, 1_000_000), frame(frameType.settings, flag.ack, 0)]));
    const session: ClientHttp2Session = connect("http://a.test", { createConnection: () => theirs });
    session.on("error", reject);
    session.once("remoteSettings", () => {
      for (const list of lists) {
        const headers: Record<string, string[]> = Object.create(null);
        for (const [one, other] of list) {
          const values = headers[one];
          if (values === undefined) headers[one] = [other];
          else values.push(other);
        }
        session.request(headers).on("error", () => {});
      }
    });
  });
  ours.destroy();
  theirs.destroy();
  return read;
}

describe("HPACK and nghttp2", () => {
  it("nghttp2 reads what our encoder writes, whatever size it says its table has", async () => {
    await holds(
      "nghttp2 reads what our encoder writes",
      fc.asyncProperty(blocks, fc.array(tableBytes, { maxLength: 2 }), async (lists, sizes) => {
        const encoder = new HpackEncoder();
        const buffer = Buffer.alloc(1_000_000);
        const frames: Buffer[] = [preface, settings(4, 65_535), frame(frameType.settings, flag.ack, 0)];
        lists.forEach((list, at) => {
          // nghttp2 keeps to 4096 bytes, so smaller ones are all that may be chosen here.
          const size = sizes[at % (sizes.length + 1)];
          if (size !== undefined) encoder.setPeerLimit(Math.min(size, 4_096));
          encoder.begin(buffer, 0);
          for (let i = 0; i < pseudo.length; i += 2) encoder.field(pseudo[i]!, pseudo[i + 1]!);
          for (const [one, other] of list) encoder.field(one, other);
          encoder.end();
          const block = Buffer.from(buffer.subarray(0, encoder.at));
          for (let from = 0; from < block.length; from += 16_384) {
            const last = from + 16_384 >= block.length;
            const type = from === 0 ? frameType.headers : frameType.continuation;
            const flags = (from === 0 ? flag.endStream : 0) | (last ? flag.endHeaders : 0);
            frames.push(frame(type, flags, at * 2 + 1, block.subarray(from, from + 16_384)));
          }
        });
        const read = await readByNode((socket) => void socket.write(Buffer.concat(frames)), lists.length);
        expect(read).toEqual(lists.map((list) => [...pseudo, ...list.flat()]));
      }),
    );
  });

  it("our decoder reads what nghttp2 writes, whatever size we say our table has", async () => {
    const sorted = (list: string[]) =>
      list.flatMap((text, at) => (at % 2 === 0 && !text.startsWith(":") ? [`${text}: ${list[at + 1]}`] : [])).sort();
    await holds(
      "our decoder reads what nghttp2 writes",
      fc.asyncProperty(blocks, tableBytes, async (lists, bytes) => {
        // Node refuses these twice, and has a list of what goes in one value.
        const single = lists.map((list) => [...new Map(list).entries()]);
        const read = await readByUs(single, bytes);
        expect(read.map(sorted)).toEqual(single.map((list) => sorted(list.flat())));
      }),
    );
  });
});
