import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { Output } from "./output.js";

const sockets: Socket[] = [];
const server = createServer();

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.close();
});

/** Both ends of a connection. */
async function pair(): Promise<[near: Socket, far: Socket]> {
  if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
  const far = connect((server.address() as AddressInfo).port, "127.0.0.1").pause();
  const [near] = (await once(server, "connection")) as [Socket];
  sockets.push(near, far);
  return [near, far];
}

const listener = { onFlush() {}, onBlocked() {}, onDrained() {} };

/** A head and a body too large to be copied into it, of one letter. */
function write(output: Output, letter: string): void {
  output.text(letter.repeat(100));
  output.bytes(Buffer.alloc(10_000, letter));
}

test("what one connection still has to send is not touched by what others write", async () => {
  const [slow, reader] = await pair();
  const [quick] = await pair();
  const output = new Output(slow, listener);
  const other = new Output(quick, listener);
  let written = 0;
  while (slow.writableLength === 0) {
    write(output, "a");
    output.flush();
    written += 10_100;
  }
  for (let i = 0; i < 3; i++) {
    write(other, "b");
    other.flush();
  }
  let received = 0;
  reader.on("data", (chunk: Buffer) => {
    expect(chunk.every((byte) => byte === 0x61)).toBe(true);
    received += chunk.length;
  });
  reader.resume();
  while (received < written) await once(reader, "data");
  expect(received).toBe(written);
});
