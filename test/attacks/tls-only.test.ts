import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { preface } from "../../packages/http2/src/h2/frame.js";
import { forms, liveBytes, until, Victim } from "./victim.js";

const hello = Buffer.from("16030100c8010000c40303", "hex");
/** What isn't TLS, what begins as TLS and isn't, and handshakes that break off. */
const openings = [
  Buffer.concat([hello, randomBytes(200)]),
  hello,
  Buffer.of(0x16),
  Buffer.of(0x16, 3, 1, 0xff, 0xff),
  Buffer.of(0x80, 0x2e, 1, 0, 2),
  preface,
  Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  Buffer.from("CONNECT a:1 HTTP/1.1\r\n\r\n"),
  randomBytes(500),
  Buffer.alloc(0),
];

// TLS reads such a port from the first byte on: nobody has looked at what comes before OpenSSL does.
for (const form of forms) {
  describe(`a mesh port that refuses plaintext (${form})`, () => {
    let victim: Victim;

    beforeAll(async () => {
      victim = await Victim.start({ form, inbound: { plaintext: "refuse" } });
      await (await victim.neighbour())();
    });
    afterAll(() => victim?.stop());

    async function open(): Promise<Socket> {
      const socket = connect({ port: victim.port, host: "127.0.0.1" });
      socket.on("error", () => {});
      await once(socket, "connect");
      return socket;
    }

    async function spared(attack: () => Promise<void>): Promise<void> {
      const rest = await victim.neighbour();
      const before = await liveBytes();
      await attack();
      expect((await rest()).failed).toEqual([]);
      expect((await liveBytes()) - before).toBeLessThan(12 << 20);
    }

    it("survives what is no TLS, and handshakes that break off (CVE-2025-59465)", () =>
      spared(async () => {
        for (let round = 0; round < 200; round += 1) {
          const socket = await open();
          socket.write(openings[round % openings.length]!);
          await new Promise((resolve) => setImmediate(resolve));
          if (round % 4 === 0) socket.resetAndDestroy();
          else if (round % 2 === 0) socket.destroy();
          else socket.end();
        }
        // A request in plaintext is not answered, but closed and counted.
        const socket = await open();
        let answer = "";
        socket.on("data", (bytes) => {
          answer += bytes.toString("latin1");
        });
        socket.write(openings[6]!);
        await once(socket, "close");
        expect(answer).toBe("");
        expect(victim.protections()["plaintext refused"]).toBeGreaterThan(0);
        expect(victim.started).toBeGreaterThan(0);
      }));

    it("serves others while hundreds say nothing, or half a hello", () =>
      spared(async () => {
        const silent: Socket[] = [];
        for (let i = 0; i < 300; i += 1) silent.push(await open());
        for (const [i, socket] of silent.entries()) if (i % 2 === 0) socket.write(hello);
        const started = victim.started;
        await until(() => victim.started > started + 5);
        for (const socket of silent) socket.destroy();
      }));
  });
}
