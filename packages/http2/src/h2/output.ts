import { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Told when a write is done and more may be queued. */
export interface OutputOwner {
  onWritten(): void;
}

const blockBytes = 16_384;
/** Chunks from here on are written as they are; smaller ones are cheaper to copy. */
const referenceBytes = 4_096;
/** Blocks that nobody uses now, for all connections of the process. */
const freeBlocks: Buffer[] = [];
const maxFreeBlocks = 32;

const none: Buffer = Buffer.alloc(0);

let waiting: Output[] = [];
let scheduled = false;

function flushWaiting(): void {
  scheduled = false;
  const outputs = waiting;
  waiting = [];
  for (let at = 0; at < outputs.length; at += 1) outputs[at]!.flush();
}

/**
 * What leaves on one connection. All frames of a loop turn go into one block and out in one write; one write is in
 * flight at a time. Blocks are taken when there is something to write and given back when it is written, so that an idle
 * connection has none.
 */
export class Output {
  /** Where frames are written, after `reserve`, from `at` on. */
  block: Buffer = none;
  at = 0;
  /** Changes when `block` does. What was written under another serial can no longer be changed. */
  serial = 0;
  /** Number of the batch being filled. */
  batch = 1;
  /** Number of the last batch that was handed to the socket. */
  sentBatch = 0;
  writing = false;
  /** Nothing more is written, not even what was queued. */
  closed = false;

  readonly #socket: Duplex;
  readonly #owner: OutputOwner;
  // Only real sockets promise to be done with a buffer when they call back.
  readonly #reuse: boolean;
  readonly #onWritten: (error?: Error | null) => void;
  #from = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #filled: Buffer[] = [];
  #inFlight: Buffer[] = [];
  #inFlightBytes = 0;
  #waiting = false;

  constructor(socket: Duplex, owner: OutputOwner) {
    this.#socket = socket;
    this.#owner = owner;
    this.#reuse = socket instanceof Socket;
    this.#onWritten = (error) => this.#written(error);
  }

  /** Bytes queued and in flight. */
  get bytes(): number {
    return this.#inFlightBytes + this.#partBytes + this.at - this.#from;
  }

  /** Whether anything waits to be written or is being written. */
  get idle(): boolean {
    return !this.writing && this.at === this.#from && this.#parts.length === 0;
  }

  /** Makes sure that so many bytes can be written to `block` at `at`. */
  reserve(bytes: number): void {
    if (this.block.length - this.at < bytes) this.#turn(bytes);
    if (!this.#waiting) this.#schedule();
  }

  /** Queues bytes behind what is in the block. Large ones are not copied and belong to the output from here on. */
  append(chunk: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length < referenceBytes) {
      this.reserve(length);
      this.block.set(length === chunk.length ? chunk : chunk.subarray(start, end), this.at);
      this.at += length;
      return;
    }
    this.#seal();
    this.#parts.push(length === chunk.length ? chunk : chunk.subarray(start, end));
    this.#partBytes += length;
    if (!this.#waiting) this.#schedule();
  }

  /** Hands everything to the socket, unless a write is in flight: then that write's end does. */
  flush(): void {
    this.#waiting = false;
    if (this.writing || this.closed) return;
    const tail = this.at - this.#from;
    if (tail === 0 && this.#parts.length === 0) return;
    this.writing = true;
    this.sentBatch = this.batch;
    this.batch += 1;
    this.#inFlightBytes = this.#partBytes + tail;
    const parts = this.#parts;
    if (this.block !== none) this.#filled.push(this.block);
    const spare = this.#inFlight;
    this.#inFlight = this.#filled;
    this.#filled = spare;
    const block = this.block;
    const from = this.#from;
    const to = this.at;
    this.block = none;
    this.at = 0;
    this.#from = 0;
    this.serial += 1;
    this.#partBytes = 0;
    const socket = this.#socket;
    if (parts.length === 0) {
      socket.write(block.subarray(from, to), this.#onWritten);
      return;
    }
    this.#parts = [];
    if (tail > 0) parts.push(block.subarray(from, to));
    const last = parts.length - 1;
    if (last > 0) socket.cork();
    for (let at = 0; at < last; at += 1) socket.write(parts[at]!);
    socket.write(parts[last]!, this.#onWritten);
    if (last > 0) socket.uncork();
  }

  /** Drops what was not written; nothing is written from here on. */
  close(): void {
    this.closed = true;
    this.block = none;
    this.at = 0;
    this.#from = 0;
    this.serial += 1;
    this.#parts = [];
    this.#partBytes = 0;
    this.#filled = [];
    this.#inFlight = [];
  }

  #schedule(): void {
    if (this.closed) return;
    this.#waiting = true;
    waiting.push(this);
    if (scheduled) return;
    scheduled = true;
    setImmediate(flushWaiting);
  }

  #seal(): void {
    if (this.at === this.#from) return;
    this.#parts.push(this.block.subarray(this.#from, this.at));
    this.#partBytes += this.at - this.#from;
    this.#from = this.at;
  }

  #turn(bytes: number): void {
    this.#seal();
    if (this.block !== none) this.#filled.push(this.block);
    this.block =
      bytes <= blockBytes ? (freeBlocks.pop() ?? Buffer.allocUnsafeSlow(blockBytes)) : Buffer.allocUnsafeSlow(bytes);
    this.at = 0;
    this.#from = 0;
    this.serial += 1;
  }

  #written(error: Error | null | undefined): void {
    this.writing = false;
    this.#inFlightBytes = 0;
    if (this.closed) return;
    const blocks = this.#inFlight;
    for (let at = 0; at < blocks.length; at += 1) {
      const block = blocks[at]!;
      if (this.#reuse && !error && block.length === blockBytes && freeBlocks.length < maxFreeBlocks)
        freeBlocks.push(block);
    }
    blocks.length = 0;
    // A failed write is followed by the socket's own 'error' and 'close'.
    if (error) return;
    if (!this.idle && !this.#waiting) this.#schedule();
    this.#owner.onWritten();
  }
}
