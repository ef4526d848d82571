import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, Socket } from "node:net";
import { type Duplex, PassThrough } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { LentReads, lendReads, ownedCopy, readSocket } from "./lent-reads.js";

const open: { destroy(): void }[] = [];
const servers: Server[] = [];

afterEach(async () => {
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) {
    server.close();
    await once(server, "close");
  }
});

/** A client whose reads are lent, and the accepted socket at its other end. */
async function pair(): Promise<{ client: Socket; accepted: Socket; server: Server }> {
  const server = createServer({ allowHalfOpen: true });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const reads = new LentReads();
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", onread: reads.onread });
  reads.bind(client);
  const [accepted] = (await once(server, "connection")) as [Socket];
  if (client.connecting) await once(client, "connect");
  open.push(client, accepted);
  return { client, accepted, server };
}

/** Collects copies of what is read, and resolves when so many bytes came. */
class Reader {
  text = "";
  lent = false;
  #wanted = 0;
  #resolve: () => void = () => {};

  read(socket: Duplex): void {
    this.lent = readSocket(socket, (chunk) => {
      this.text += chunk.toString("latin1");
      if (this.text.length >= this.#wanted) this.#resolve();
    });
  }

  bytes(wanted: number): Promise<void> {
    this.#wanted = wanted;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (this.text.length >= wanted) resolve();
    });
  }
}

test("what comes is given to the reader, in one buffer for all sockets", async () => {
  const [first, second] = [await pair(), await pair()];
  const buffers = new Set<unknown>();
  for (const { client, accepted } of [first, second]) {
    const read = new Promise<void>((resolve) => {
      readSocket(client, (chunk) => {
        buffers.add(chunk.buffer);
        resolve();
      });
    });
    accepted.write("hello");
    await read;
  }
  expect(buffers.size).toBe(1);
});

test("what comes before somebody reads is kept, and in order", async () => {
  const { client, accepted } = await pair();
  accepted.write("early ");
  // The reads of the client's side are only done once the loop has turned for it.
  const echo = await pair();
  echo.accepted.write("x");
  const other = new Reader();
  other.read(echo.client);
  await other.bytes(1);
  const reader = new Reader();
  reader.read(client);
  accepted.write("late");
  await reader.bytes(10);
  expect([reader.text, reader.lent]).toEqual(["early late", true]);
});

test("a socket that is paused is not read from, also when it was paused by its reader", async () => {
  const { client, accepted } = await pair();
  let reads = 0;
  let bytes = 0;
  readSocket(client, (chunk) => {
    reads += 1;
    bytes += chunk.length;
    client.pause();
  });
  const sent = 4_000_000;
  accepted.write(Buffer.alloc(sent));
  while (bytes < sent) {
    const before = reads;
    // Whatever the kernel has by now would be read in these turns.
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(reads - before).toBeLessThanOrEqual(1);
    client.resume();
    await new Promise(setImmediate);
  }
  expect(bytes).toBe(sent);
});

test("the peer's end is told, and with it nothing is lost", async () => {
  const { client, accepted } = await pair();
  const reader = new Reader();
  reader.read(client);
  const ended = once(client, "end");
  accepted.end("the last words");
  await ended;
  expect(reader.text).toBe("the last words");
});

test("an accepted connection is taken over with what was read of it, and its server sees it close", async () => {
  const { client, accepted, server } = await pair();
  client.write("GET ");
  await once(accepted, "readable");
  const first = accepted.read() as Buffer;
  accepted.unshift(first);
  const lent = lendReads(accepted)!;
  open.push(lent);
  const reader = new Reader();
  reader.read(lent);
  client.write("/");
  await reader.bytes(5);
  expect([reader.text, reader.lent, lent.remoteAddress, lent.remotePort]).toEqual([
    "GET /",
    true,
    "127.0.0.1",
    client.localPort,
  ]);
  const answer = new Reader();
  answer.read(client);
  lent.end("bye");
  await answer.bytes(3);
  client.destroy();
  await once(lent, "close");
  // Closes only when its count of connections is back at zero.
  server.close();
  await once(server, "close");
  servers.splice(0);
});

test("what can't be taken over is left as it is", async () => {
  const { client, accepted } = await pair();
  expect(lendReads(new PassThrough())).toBeNull();
  class Other extends Socket {}
  expect(lendReads(new Other())).toBeNull();
  client.end("all of it");
  await once(accepted, "readable");
  while (
    !accepted.readableEnded &&
    (accepted as unknown as { _readableState: { ended: boolean } })._readableState.ended === false
  )
    await new Promise(setImmediate);
  expect(lendReads(accepted)).toBeNull();
  const reader = new Reader();
  reader.read(accepted);
  await reader.bytes(9);
  expect([reader.text, reader.lent]).toEqual(["all of it", false]);
});

test("copies of what was lent stay as they are, whatever their size, and are nobody else's", () => {
  const copies: Buffer[] = [];
  const lengths = Array.from({ length: 400 }, (_, i) => (i * 37) % 600);
  for (const [i, length] of lengths.entries()) {
    const lent = Buffer.alloc(700, i & 0xff);
    copies.push(ownedCopy(lent, 50, 50 + length));
    lent.fill(0xee);
  }
  for (const [i, copy] of copies.entries()) {
    expect(copy).toHaveLength(lengths[i]!);
    expect(copy.every((octet) => octet === (i & 0xff))).toBe(true);
  }
});
