import { createHash } from "node:crypto";

export interface Digest {
  readonly length: number;
  readonly sha256: string;
}

const block = Buffer.alloc(65_536, "0123456789abcdef");

/** The same bytes for the same size, in chunks. */
export function* chunksOf(size: number): Generator<Buffer> {
  for (let left = size; left > 0; left -= block.length) yield block.subarray(0, Math.min(left, block.length));
}

export function bytesOf(size: number): Buffer {
  return Buffer.concat([...chunksOf(size)]);
}

export async function digest(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | Uint8Array): Promise<Digest> {
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of chunks instanceof Uint8Array ? [chunks] : chunks) {
    hash.update(chunk);
    length += chunk.length;
  }
  return { length, sha256: hash.digest("hex") };
}

const digests = new Map<number, Promise<Digest>>();

/** Of the bytes of that size; reckoned once. */
export function digestOf(size: number): Promise<Digest> {
  const found = digests.get(size) ?? digest(chunksOf(size));
  digests.set(size, found);
  return found;
}

/** What is sent compressed. */
export const longText = "A selvage is the edge that a loom weaves into the cloth itself. ".repeat(500);
