import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frameType } from "../../packages/http2/src/h2/frame.js";
import {
  data,
  endAll,
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
import { authority, forms, liveBytes, until, Victim, type Way, ways } from "./victim.js";

// What a peer can send for next to nothing (CVE-2023-44487, CVE-2025-8671, CVE-2019-9511 to 9518, CVE-2024-27983 and their kin). One
// connection, as fast as it goes, while a neighbour calls on another.

const head = (path: string, method = "GET") => [
  ":method",
  method,
  ":scheme",
  "http",
  ":authority",
  authority,
  ":path",
  path,
];
const open = (id: number, path = "/hold") => headers(id, head(path));
const upload = (id: number, path = "/hold") => headers(id, head(path, "POST"), endHead);
const large = literals(...head("/hold"), ...Array.from({ length: 600 }, () => "a"));
const ping = frame(frameType.ping, 0, 0, Buffer.alloc(8));
const priority = (id: number, on: number) => frame(frameType.priority, 0, id, Buffer.concat([word(on), Buffer.of(1)]));

interface Flood {
  readonly name: string;
  /** What ends it, as counted: one of these. */
  readonly reasons: readonly string[];
  /** Before the flood. */
  readonly opening?: readonly Buffer[];
  readonly one: (index: number) => Buffer;
  readonly count?: number;
}

const floods: readonly Flood[] = [
  {
    name: "rapid reset (CVE-2023-44487)",
    reasons: ["reset-flood"],
    one: (i) => Buffer.concat([open(i * 2 + 1), rst(i * 2 + 1)]),
    count: 100_000,
  },
  {
    name: "a reset flood of requests that are malformed (CVE-2019-9514)",
    reasons: ["made-you-reset"],
    one: (i) => headers(i * 2 + 1, [":method", "GET"]),
  },
  { name: "a PING flood (CVE-2019-9512)", reasons: ["ping-flood"], one: () => ping },
  { name: "a SETTINGS flood (CVE-2019-9515)", reasons: ["settings-flood"], one: () => settings(4, 65_535) },
  {
    name: "an empty frame flood (CVE-2019-9518)",
    reasons: ["empty-frame-flood"],
    opening: [upload(1)],
    one: () => data(1, ""),
  },
  {
    name: "padding without data",
    reasons: ["empty-frame-flood"],
    opening: [upload(1)],
    one: () => frame(frameType.data, flag.padded, 1, Buffer.of(3, 0, 0, 0)),
  },
  {
    name: "a resource loop of priorities (CVE-2019-9513)",
    reasons: ["priority-flood"],
    opening: [open(1)],
    one: (i) => priority((i % 1000) * 2 + 1, ((i + 1) % 1000) * 2 + 1),
  },
  {
    name: "a WINDOW_UPDATE flood on the connection (CVE-2026-21714)",
    reasons: ["window-update-flood"],
    one: () => windowUpdate(0, 1),
  },
  {
    name: "a GOAWAY flood (CVE-2025-23085)",
    reasons: ["settings-flood"],
    opening: [open(1)],
    one: () => frame(frameType.goaway, 0, 0, Buffer.concat([word(0), word(0), Buffer.alloc(1000)])),
  },
  {
    name: "a flood of frames of no known type",
    reasons: ["unknown-frame-flood"],
    one: () => frame(0xbe, 0, 1, Buffer.alloc(100)),
  },
  {
    name: "a flood of frames for a stream that is gone",
    reasons: ["closed-stream-flood"],
    opening: [open(1), rst(1)],
    one: () => rst(1),
  },
  {
    name: "a CONTINUATION flood (CVE-2024-27983)",
    reasons: ["continuation-flood"],
    opening: [frame(frameType.headers, 0, 1, literals(...head("/hold")))],
    one: () => frame(frameType.continuation, 0, 1, literals("x-a", "b".repeat(10))),
  },
  {
    name: "CONTINUATION frames with nothing in them",
    reasons: ["continuation-flood"],
    opening: [frame(frameType.headers, 0, 1, literals(...head("/hold")))],
    one: () => frame(frameType.continuation, 0, 1),
  },
  {
    name: "headers without a name (CVE-2019-9516)",
    reasons: ["made-you-reset"],
    one: (i) => headers(i * 2 + 1, [...head("/hold"), "", ""]),
  },
  {
    name: "heads larger than may be",
    reasons: ["made-you-reset"],
    one: (i) => frame(frameType.headers, endAll, i * 2 + 1, large),
  },
];

/** Ways to make the server reset a stream, which frees a place among the streams while the app works on (CVE-2025-8671). */
const primitives: readonly [string, (id: number) => Buffer][] = [
  ["a window of more than 2^31-1", (id) => windowUpdate(id, 0x7fffffff)],
  ["a WINDOW_UPDATE of nothing", (id) => windowUpdate(id, 0)],
  ["DATA after END_STREAM", (id) => data(id, "x")],
  ["HEADERS after END_STREAM", (id) => headers(id, ["x-t", "1"])],
  ["a PRIORITY of the wrong size", (id) => frame(frameType.priority, 0, id, Buffer.alloc(4))],
  ["a PRIORITY that depends on itself", (id) => priority(id, id)],
];

for (const form of forms) {
  describe(`a mesh port (${form})`, () => {
    let victim: Victim;
    let before = 0;

    beforeAll(async () => {
      victim = await Victim.start({ form });
      await (await victim.neighbour())();
      before = await liveBytes();
    });
    afterAll(() => victim?.stop());

    for (const way of ways) {
      for (const flood of floods) {
        it(`ends ${flood.name}, over ${way}, and its neighbour notices nothing`, () => attack(flood, way));
      }
      for (const [name, primitive] of primitives) {
        it(`bounds the handlers when made to reset by ${name}, over ${way}`, () =>
          attack(
            {
              name,
              reasons: ["made-you-reset", "priority-flood", "reset-flood"],
              one: (i) => Buffer.concat([open(i * 2 + 1), primitive(i * 2 + 1)]),
              count: 20_000,
            },
            way,
          ));
      }
    }

    it("keeps nothing of all that", async () => {
      expect((await liveBytes()) - before).toBeLessThan(16 << 20);
    });

    async function attack(flood: Flood, way: Way): Promise<void> {
      const rest = await victim.neighbour();
      const acted = () => flood.reasons.reduce((sum, reason) => sum + (victim.protections()[reason] ?? 0), 0);
      const counted = acted();
      victim.most = 0;
      victim.started = 0;
      const socket = await victim.dial(way);
      const peer = new RawPeer(socket).greet();
      peer.write(...(flood.opening ?? []));
      const count = flood.count ?? 20_000;
      for (let i = 0; i < count && !peer.ended; ) {
        const batch: Buffer[] = [];
        for (const end = Math.min(count, i + 500); i < end; i += 1) batch.push(flood.one(i));
        await new Promise((resolve) => {
          if (socket.destroyed) resolve(null);
          else socket.write(Buffer.concat(batch), resolve);
        });
      }
      await peer.untilEnded();
      socket.destroy();
      expect(acted()).toBe(counted + 1);
      // So many at once, the neighbour's among them; and so many started as the budget of resets and its refill allow.
      expect(victim.most).toBeLessThanOrEqual(256 + 10);
      expect(victim.started).toBeLessThan(3_000);
      const { sent, failed } = await rest();
      expect([sent >= 20, failed]).toEqual([true, []]);
      await until(() => victim.running === 0);
    }
  });
}
