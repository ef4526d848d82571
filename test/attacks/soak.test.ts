import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { frameType, preface } from "../../packages/http2/src/h2/frame.js";
import { frame, headers, RawPeer, rst, settings } from "../../packages/http2/src/h2/test-peer.js";
import { authority, liveBytes, until, Victim } from "./victim.js";

const seconds = Number(process.env["SOAK_SECONDS"] ?? 20);

// Leaks of HPACK tables and of hash tables show with ids that never come again and with pauses (engine-tuning, rules 11 and 12).
it(`${seconds} seconds of good and bad peers, unique ids and pauses leave the heap flat and no socket open`, async () => {
  const sockets = () => process.getActiveResourcesInfo().filter((one) => one === "TCPSocketWrap").length;
  const atStart = sockets();
  const victim = await Victim.start();
  let going = true;
  let good = 0;
  const failed: string[] = [];

  const caller = async (worker: number) => {
    for (let i = 0; going; i += 1) {
      const id = `${worker}-${i}-${Math.random()}`;
      try {
        const response = await victim.caller.fetch(`http://${authority}/ok?id=${id}`, {
          headers: { "x-request-id": id, traceparent: id, [`x-${i % 50}`]: id },
        });
        if ((await response.text()) === "ok") good += 1;
        else failed.push(String(response.status));
      } catch (error) {
        failed.push(String((error as Error).cause ?? error));
      }
      // Now and then the connections are idle.
      if (i % 200 === 199) await sleep(500);
    }
  };

  const head = (id: number, path: string) =>
    headers(id, [
      ":method",
      "GET",
      ":scheme",
      "http",
      ":authority",
      authority,
      ":path",
      path,
      "x-id",
      `${Math.random()}`,
    ]);
  const vandal = async () => {
    for (let round = 0; going; round += 1) {
      const socket = await victim.dial(round % 4 === 0 ? "mutual TLS" : "cleartext");
      const peer = new RawPeer(socket);
      switch (round % 5) {
        case 0:
          peer.greet();
          for (let id = 1; id < 4_000; id += 2) peer.write(head(id, "/hold"), rst(id));
          break;
        case 1:
          peer.greet();
          for (let id = 1; id < 200; id += 2) peer.write(head(id, "/hold"));
          break;
        case 2:
          peer.write(preface, settings(), frame(frameType.headers, 0, 1, Buffer.from([0x82])));
          break;
        case 3:
          peer.write(Buffer.from(`GET /hold HTTP/1.1\r\nHost: a\r\nX-${round}: ${Math.random()}\r\n\r\n`));
          break;
        default:
          peer.write(Buffer.from([0x16, 3, 1, 0, 200, 1]));
      }
      await sleep(20);
      socket.destroy();
    }
  };

  const workers = [...[0, 1, 2, 3].map(caller), vandal()];
  await sleep((seconds * 1_000) / 3);
  const early = await liveBytes();
  await sleep((seconds * 2_000) / 3);
  const late = await liveBytes();
  going = false;
  await Promise.all(workers);
  await until(() => victim.running === 0);
  await victim.stop();
  // A socket that nobody has to end any more would stay for ever.
  const probe = connect({ port: victim.port, host: "127.0.0.1" }).on("error", () => {});
  await until(() => probe.destroyed);
  await until(() => sockets() <= atStart);
  expect(failed).toEqual([]);
  expect(good).toBeGreaterThan(seconds * 20);
  expect(late - early).toBeLessThan(4 << 20);
});
