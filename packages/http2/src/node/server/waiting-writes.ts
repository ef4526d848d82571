import type { WriteCallback } from "./node-internals.js";

/** What an application has written, or wants to be told about, while its response may send no more. First in, first out. */
export class WaitingWrites {
  private readonly chunks: (Uint8Array | null)[] = [];
  private readonly callbacks: (WriteCallback | null)[] = [];
  private next = 0;
  private ownBytes = 0;
  private heldBytes: number;

  /** @param heldBytes - length of the chunk that was passed on and made the peer ask for a pause */
  constructor(heldBytes: number) {
    this.heldBytes = heldBytes;
  }

  /** Bytes that aren't sent yet, as `writableLength` shows them. Never 0 before the pause is over. */
  get bytes(): number {
    return this.ownBytes + this.heldBytes;
  }

  get empty(): boolean {
    return this.next === this.chunks.length;
  }

  add(chunk: Uint8Array | null, callback: WriteCallback | null): void {
    if (chunk === null && callback === null) return;
    this.chunks.push(chunk);
    this.callbacks.push(callback);
    if (chunk !== null) this.ownBytes += chunk.length;
  }

  /** The pause is over: what was passed on is sent. */
  release(): void {
    this.heldBytes = 0;
  }

  /** The chunk that comes first. It stays first until `call` or `hold`, for the sake of its callback. */
  takeChunk(): Uint8Array | null {
    const chunk = this.chunks[this.next] as Uint8Array | null;
    this.chunks[this.next] = null;
    if (chunk !== null) this.ownBytes -= chunk.length;
    return chunk;
  }

  /** The chunk just taken has led to a pause: its callback waits for the end of that. */
  hold(bytes: number): void {
    this.heldBytes = bytes;
  }

  /** Tells the writer of the chunk just taken, on the next tick, and goes on to the next chunk. */
  call(error: Error | null): void {
    const callback = this.callbacks[this.next] as WriteCallback | null;
    this.callbacks[this.next] = null;
    this.next++;
    if (callback !== null) process.nextTick(callback, error);
  }

  /** None of it will be sent. */
  fail(error: Error): void {
    while (!this.empty) {
      this.takeChunk();
      this.call(error);
    }
  }
}
