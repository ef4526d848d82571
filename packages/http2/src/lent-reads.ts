import { type OnReadOpts, Socket } from "node:net";
import type { Duplex } from "node:stream";

/** As much as Node reads at once. */
const bufferBytes = 65_536;
const none: Buffer = Buffer.alloc(0);

/** The one buffer of the process that they all read to; made when the first does. */
let shared: Buffer | null = null;

const readsOf = new WeakMap<Duplex, LentReads>();

/**
 * What a socket reads, past its stream (Node's `onread`): into one buffer of the process, without the allocation, the stream's bookkeeping and
 * the tick that a read costs otherwise.
 *
 * A chunk is lent: the next read of any such socket overwrites it. Give `onread` to whatever makes the socket, then call `bind`.
 * What comes before somebody reads is kept, and nothing more is read until then.
 */
export class LentReads {
  readonly onread: OnReadOpts;
  #socket: Duplex | null = null;
  #listener: ((chunk: Buffer) => void) | null = null;
  #view = none;
  #early: Buffer | null = null;

  constructor() {
    shared ??= Buffer.allocUnsafeSlow(bufferBytes);
    this.onread = { buffer: shared, callback: (bytes) => this.#read(bytes) };
  }

  bind(socket: Duplex): void {
    this.#socket = socket;
    readsOf.set(socket, this);
  }

  /** Puts back what was read from the socket before. */
  unshift(chunk: Buffer): void {
    this.#early = this.#early === null ? chunk : Buffer.concat([chunk, this.#early]);
  }

  /** Gives `listener` what came and what comes, while the socket isn't paused. */
  start(listener: (chunk: Buffer) => void): void {
    this.#listener = listener;
    // As with a stream, not before the caller is ready for it.
    if (this.#early !== null) process.nextTick(() => this.#giveEarly());
    this.#socket?.resume();
  }

  #giveEarly(): void {
    const early = this.#early;
    this.#early = null;
    if (early !== null && this.#socket?.destroyed === false) this.#listener?.(early);
  }

  /** `false` stops the reading. */
  #read(bytes: number): boolean {
    const listener = this.#listener;
    if (listener === null) {
      this.unshift(Buffer.from(shared!.subarray(0, bytes)));
      return false;
    }
    // Messages of one connection are often of the same length.
    if (this.#view.length !== bytes) this.#view = shared!.subarray(0, bytes);
    if (this.#early !== null) this.#giveEarly();
    listener(this.#view);
    return this.#socket?.isPaused() === false;
  }
}

/**
 * Gives `listener` what a socket reads. `true`: chunks are lent, until it returns; else they are its own. Goes together with `pause`
 * and `resume` of the socket.
 */
export function readSocket(socket: Duplex, listener: (chunk: Buffer) => void): boolean {
  const reads = readsOf.get(socket);
  if (reads === undefined) {
    socket.on("data", listener);
    return false;
  }
  reads.start(listener);
  return true;
}

interface NodeSocket {
  _handle?: { useUserBuffer?: unknown; reading?: boolean } | null;
  _readableState?: { ended?: boolean };
  server?: unknown;
  _server?: unknown;
}

/**
 * An accepted TCP or unix connection as another socket, whose reads are lent; `socket` is of no use afterwards, and its listeners aren't told anything
 * any more. `null`, and nothing done, when it has come to its end, is of another kind, or Node isn't made as expected.
 */
export function lendReads(socket: Duplex): Socket | null {
  const old = socket as NodeSocket;
  const handle = old._handle;
  if (Object.getPrototypeOf(socket) !== Socket.prototype || socket.destroyed || !socket.writable) return null;
  if (typeof handle?.useUserBuffer !== "function" || old._readableState?.ended !== false) return null;
  const early: Buffer | null = socket.read();
  const reads = new LentReads();
  // `handle` is how Node itself makes the sockets that a server accepts.
  const options = { handle, allowHalfOpen: socket.allowHalfOpen, readable: true, writable: true, onread: reads.onread };
  old._handle = null;
  const lent = new Socket(options);
  reads.bind(lent);
  if (early !== null) reads.unshift(early);
  // So that the server's count of connections goes down when this one ends.
  (lent as NodeSocket).server = old.server;
  (lent as NodeSocket)._server = old._server;
  return lent;
}

/** A copy of a part of a chunk that was lent, for whoever may keep it. */
export function ownedCopy(chunk: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start);
  chunk.copy(copy, 0, start, end);
  return copy;
}
