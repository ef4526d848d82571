import { createSocket, type Socket } from "node:dgram";
import { writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** A DNS server that knows one address for every name, with a TTL of 1 s. */
export class DnsServer {
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

  /**
   * The environment of a process that has only this server, as if its resolv.conf said so, which can't name a port. The machine's own
   * resolver has no say.
   */
  env(directory: string): Readonly<Record<string, string>> {
    const file = join(directory, "dns.cjs");
    writeFileSync(file, onlyServer(`127.0.0.1:${this.port}`));
    return { NODE_OPTIONS: `--require ${JSON.stringify(file)}` };
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

function onlyServer(address: string): string {
  return `const { promises } = require("node:dns");
const { Resolver } = promises;
promises.Resolver = class extends Resolver {
  constructor(options) {
    super(options);
    this.setServers(["${address}"]);
  }
};
promises.lookup = async () => {
  throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
};
require("node:module").syncBuiltinESMExports();
`;
}
