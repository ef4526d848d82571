import { createSocket, type Socket } from "node:dgram";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemDns } from "../../packages/core/src/resolver/dns-client.js";
import { DnsResolver } from "../../packages/core/src/resolver/dns-resolver.js";
import { systemClock } from "../../packages/core/src/runtime/clock.js";
import { calmRate, capacity, drive, failureCounts } from "./load.js";
import { PickerMesh } from "./picker-mesh.js";
import { bundle, endPrograms, Program } from "./program.js";
import type { Serving } from "./replica.js";
import { record, successOf } from "./results.js";

beforeEach(() => bundle().then(() => {}));
afterEach(() => endPrograms());

/** A DNS server that knows one address for every name, with a TTL of 1 s. */
class Dns {
  address: readonly number[] = [127, 0, 0, 1];
  questions = 0;
  port = 0;
  #socket: Socket | null = null;

  start(): Promise<void> {
    const socket = createSocket("udp4");
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("message", (query, from) => {
      this.questions++;
      socket.send(this.#answer(query), from.port, from.address);
    });
    return new Promise((resolve) =>
      socket.bind(this.port, "127.0.0.1", () => {
        this.port = (socket.address() as AddressInfo).port;
        resolve();
      }),
    );
  }

  stop(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  /** RFC 1035, section 4: the question again, then one A record that points to its name. */
  #answer(query: Buffer): Buffer {
    let end = 12;
    while (query[end] !== 0) end += query[end]! + 1;
    end += 5;
    const isA = query.readUInt16BE(end - 4) === 1;
    const head = Buffer.from([query[0]!, query[1]!, 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, ...this.address]);
    return Buffer.concat([head, query.subarray(12, end), ...(isA ? [record] : [])]);
  }
}

test("DNS is away for a while, and knows another address when it is back", async () => {
  const program = new Program("replica", ["app"], { HOST: "0.0.0.0" });
  const { ports } = await program.message<Serving>();
  const dns = new Dns();
  await dns.start();
  const client = {
    ...systemDns([`127.0.0.1:${dns.port}`]),
    // The machine's own resolver has no say in this.
    system: async () => {
      throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    },
  };
  const resolver = new DnsResolver({
    name: "app.chaos.test",
    port: ports[0]!,
    identity: null,
    clock: systemClock,
    client,
    family: 4,
  });
  const mesh = new PickerMesh({ resolver, timeoutMs: 2_000, picker: null, ejects: true });
  try {
    const perSecond = calmRate(200, await capacity(() => mesh.get("/")));
    let asked = 0;
    setTimeout(() => {
      asked = dns.questions;
      dns.stop();
    }, 1_500);
    setTimeout(() => {
      dns.address = [127, 0, 0, 2];
      void dns.start();
    }, 4_000);
    const report = await drive({ perSecond, seconds: 10, send: () => mesh.get("/") });
    record("DNS outage", {
      offered: `${perSecond}/s for 10 s; DNS with a TTL of 1 s is away from 1.5 s to 4 s, and then knows another address`,
      requests: report.sent,
      failed: report.failed,
      success: successOf(report),
      addressesAtTheEnd: mesh.addresses,
    });
    expect(asked).toBeGreaterThan(0);
    expect(failureCounts(report.failures)).toEqual({});
    expect(mesh.addresses).toEqual([`127.0.0.2:${ports[0]}`]);
  } finally {
    mesh.close();
    dns.stop();
  }
});
