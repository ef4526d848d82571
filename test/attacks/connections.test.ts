import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flag, frameType, preface } from "../../packages/http2/src/h2/frame.js";
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
} from "../../packages/http2/src/h2/test-peer.js";
import { authority, forms, liveBytes, until, Victim, type Way, ways } from "./victim.js";

// Peers that hold on to memory, and peers that break off where it hurts.

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

for (const form of forms) {
  describe(`a mesh port (${form})`, () => {
    let victim: Victim;

    beforeAll(async () => {
      victim = await Victim.start({ form });
      await (await victim.neighbour())();
    });
    afterAll(() => victim?.stop());

    for (const way of ways) {
      it(`keeps nothing of the HTTP/2 bomb: references to one header, crumbs, and no window (${way})`, () =>
        spared(way, async () => {
          const peer = new RawPeer(await victim.dial(way)).greet();
          // One entry in the table, and heads that are nothing but references to it and to an empty cookie.
          const seed = Buffer.concat([
            literals(...head("/ok")),
            Buffer.of(0x40, 1, 0x61, 0x7f, 0xa1, 0x1e),
            Buffer.alloc(4_000, "b"),
          ]);
          const references = Buffer.concat([
            literals(...head("/ok")),
            Buffer.alloc(7_500, 0xbe),
            Buffer.alloc(7_500, 0xa0),
          ]);
          peer.write(settings(4, 0), frame(frameType.headers, endAll, 1, seed));
          for (let id = 3; id < 600; id += 2) peer.write(frame(frameType.headers, endAll, id, references));
          await peer.until(() => peer.of(frameType.headers).length > 250);
          expect(victim.protections()["header-bytes"] ?? victim.protections()["header-pairs"]).toBeGreaterThan(100);
          peer.destroy();
        }));

      it(`holds little for peers that ask for much and take nothing (CVE-2019-9511, CVE-2019-9517) (${way})`, () =>
        spared(way, async () => {
          const peer = new RawPeer(await victim.dial(way)).greet();
          peer.write(settings(4, 0), windowUpdate(0, 0x7fff0000 - 65_535));
          for (let id = 1; id < 400; id += 2) peer.write(headers(id, head("/big?n=1000")));
          await until(() => victim.running >= 200);
          for (let i = 0; i < 20; i += 1) {
            for (let id = 1; id < 400; id += 2) peer.write(windowUpdate(id, 1));
            await new Promise((resolve) => setTimeout(resolve, 5));
          }
          // 200 answers of 64 MB each were asked for.
          expect(process.memoryUsage().external).toBeLessThan(400 << 20);
          peer.destroy();
          await until(() => victim.running === 0);
        }));

      // Behind the shim it is the app that would have to read to hear of the end: node:http doesn't listen on a socket that waits.
      it.runIf(form === "library")(`holds no more of uploads that nobody reads than the windows allow (${way})`, () =>
        spared(way, async () => {
          const peer = new RawPeer(await victim.dial(way)).greet();
          const piece = Buffer.alloc(16_384);
          for (let id = 1; id < 40; id += 2) peer.write(headers(id, head("/hold", "POST"), endHead));
          await until(() => victim.running >= 20);
          for (let i = 0; i < 16; i += 1) for (let id = 1; id < 40; id += 2) peer.write(data(id, piece));
          await peer.settled();
          expect(process.memoryUsage().external).toBeLessThan(400 << 20);
          peer.destroy();
          await until(() => victim.running === 0);
        }),
      );

      it(`survives connections that are cut anywhere, in header blocks, in frames, in bodies (CVE-2024-27983) (${way})`, () =>
        spared(way, async () => {
          const start = Buffer.concat([
            preface,
            settings(),
            frame(frameType.headers, 0, 1, literals(...head("/hold"))),
          ]);
          const more = Buffer.concat([
            frame(frameType.continuation, flag.endHeaders, 1, literals("x-a", "b")),
            headers(3, head("/upload", "POST"), endHead),
            data(3, Buffer.alloc(1_000)),
            rst(3),
          ]);
          const all = Buffer.concat([start, more]);
          for (let round = 0; round < (way === "cleartext" ? 300 : 60); round += 1) {
            const socket = await victim.dial(way);
            socket.write(all.subarray(0, 24 + ((round * 7) % (all.length - 24))));
            if (round % 3 === 0) socket.destroy();
            else if (round % 3 === 1) socket.end();
            else if (way === "cleartext") socket.resetAndDestroy();
            socket.destroy();
          }
          await until(() => victim.running === 0);
        }));
    }

    it("survives what is no protocol at all, and handshakes that break off (CVE-2025-59465)", () =>
      spared("cleartext", async () => {
        const hello = Buffer.from("16030100c8010000c40303", "hex");
        const openings: Buffer[] = [
          Buffer.concat([hello, randomBytes(200)]),
          hello,
          Buffer.of(0x16),
          Buffer.of(0x16, 3, 1, 0xff, 0xff),
          Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
          Buffer.concat([preface, randomBytes(200)]),
          Buffer.concat([preface, frame(frameType.headers, endAll, 1, randomBytes(300))]),
          Buffer.concat([
            preface,
            settings(),
            frame(frameType.headers, endAll, 1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff)),
          ]),
          Buffer.from("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
          Buffer.from("GET / HTTP/9.9\r\n\r\n"),
          randomBytes(500),
          Buffer.alloc(0),
        ];
        for (let round = 0; round < 240; round += 1) {
          const socket = connect({ port: victim.port, host: "127.0.0.1" });
          socket.on("error", () => {});
          await new Promise((resolve) => socket.once("connect", resolve));
          socket.write(openings[round % openings.length]!);
          await new Promise((resolve) => setImmediate(resolve));
          if (round % 2 === 0) socket.resetAndDestroy();
          else socket.destroy();
        }
        await until(() => victim.running === 0);
      }));

    it("answers a refused upload, and what follows on the connection, again and again", () =>
      spared("cleartext", async () => {
        for (let round = 0; round < 40; round += 1) {
          const socket = await victim.dial();
          let text = "";
          socket.on("data", (chunk) => {
            text += String(chunk);
          });
          const hidden = "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n";
          const body = hidden.repeat(round % 2 === 0 ? 10 : 20_000);
          socket.write(`POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
          socket.write(body);
          socket.write(`GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
          await new Promise((resolve) => socket.on("close", resolve));
          expect(text.startsWith("HTTP/1.1 413 ")).toBe(true);
          // Either the connection said that it ends, or the next answer is the next request's.
          expect(/\r\nConnection: close\r\n/i.test(text) || /200 OK[\s\S]*ok$/.test(text)).toBe(true);
        }
        expect(victim.running).toBe(0);
      }));

    /** Runs an attack beside a neighbour, and sees that nothing of it is kept. */
    async function spared(way: Way, attack: () => Promise<void>): Promise<void> {
      const rest = await victim.neighbour();
      const before = await liveBytes();
      await attack();
      const { failed } = await rest();
      expect([way, failed]).toEqual([way, []]);
      expect((await liveBytes()) - before).toBeLessThan(12 << 20);
    }
  });
}
