import { once } from "node:events";
import { expect, test } from "vitest";
import { duplexPair } from "./duplex-pair.js";

test("what one end writes the other reads, in both directions, with its end", async () => {
  const [a, b] = duplexPair();
  a.end("ping");
  b.end("pong");
  const read = async (stream: typeof a) => Buffer.concat(await stream.toArray()).toString();
  expect(await Promise.all([read(a), read(b)])).toEqual(["pong", "ping"]);
});

test("a reader that doesn't read stops the writer", async () => {
  const [a, b] = duplexPair();
  const chunk = Buffer.alloc(100_000);
  for (let i = 0; i < 10; i++) a.write(chunk);
  await new Promise(setImmediate);
  expect(a.writableLength).toBeGreaterThan(800_000);
  b.resume();
  await once(a, "drain");
  expect(a.writableLength).toBe(0);
});

test("destroying one end resets the other", async () => {
  const [a, b] = duplexPair();
  const error = once(b, "error");
  a.destroy();
  expect((await error)[0]).toMatchObject({ code: "ECONNRESET" });
});
