/** A message whose prefix says that it is compressed, although that was not agreed on. */
export class CompressedMessageError extends Error {
  constructor() {
    super("received a compressed message, without compression having been offered");
  }
}

/** A message beyond the limit. */
export class MessageTooLargeError extends Error {
  constructor(bytes: number, maxBytes: number) {
    super(`Received message larger than max (${bytes} vs ${maxBytes})`);
  }
}

const prefixBytes = 5;
const minBufferBytes = 16_384;

/** Cuts a stream of bytes into gRPC's length-prefixed messages. What it holds grows with what has come, not with what was promised. */
export class MessageDecoder {
  readonly #maxBytes: number;
  readonly #prefix = Buffer.alloc(prefixBytes);
  #prefixFilled = 0;
  /** Of the message that is being read. */
  #length = 0;
  #buffer: Buffer | null = null;
  #filled = 0;

  /** @param maxBytes Of one message. -1 is no limit. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** In the middle of a message. */
  get partial(): boolean {
    return this.#prefixFilled > 0;
  }

  /** Adds the messages that the chunk completes to `messages`. Throws a {@link MessageTooLargeError} or {@link CompressedMessageError}. */
  write(chunk: Uint8Array, messages: Buffer[]): void {
    let at = 0;
    while (at < chunk.length || (this.#prefixFilled === prefixBytes && this.#length === 0)) {
      if (this.#prefixFilled < prefixBytes) {
        at = this.#readPrefix(chunk, at);
        continue;
      }
      const end = at + this.#length - this.#filled;
      if (this.#buffer === null && end <= chunk.length) {
        messages.push(Buffer.from(chunk.buffer as ArrayBuffer, chunk.byteOffset + at, end - at));
      } else if (end <= chunk.length) {
        this.#keep(chunk.subarray(at, end));
        messages.push(this.#buffer!);
      } else {
        this.#keep(chunk.subarray(at));
        return;
      }
      at = end;
      this.#prefixFilled = 0;
      this.#buffer = null;
      this.#filled = 0;
    }
  }

  #readPrefix(chunk: Uint8Array, at: number): number {
    const take = Math.min(prefixBytes - this.#prefixFilled, chunk.length - at);
    this.#prefix.set(chunk.subarray(at, at + take), this.#prefixFilled);
    this.#prefixFilled += take;
    if (this.#prefixFilled === prefixBytes) {
      this.#length = this.#prefix.readUInt32BE(1);
      if (this.#maxBytes >= 0 && this.#length > this.#maxBytes)
        throw new MessageTooLargeError(this.#length, this.#maxBytes);
      if (this.#prefix[0] !== 0) throw new CompressedMessageError();
    }
    return at + take;
  }

  #keep(bytes: Uint8Array): void {
    const needed = this.#filled + bytes.length;
    let buffer = this.#buffer;
    if (buffer === null || buffer.length < needed) {
      const size = Math.min(this.#length, Math.max(needed, 2 * (buffer?.length ?? 0), minBufferBytes));
      const grown = Buffer.allocUnsafeSlow(size);
      if (buffer !== null) grown.set(buffer.subarray(0, this.#filled));
      buffer = grown;
      this.#buffer = grown;
    }
    buffer.set(bytes, this.#filled);
    this.#filled = needed;
  }
}

/** The prefix of an uncompressed message. */
export function messagePrefix(bytes: number): Buffer {
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix[0] = 0;
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}
