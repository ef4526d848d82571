import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { latin1 } from "./grammar.js";
import { Deadline } from "./ticker.js";

export interface OutputListener {
  /** What is written goes to the socket now; the last moment to add to it. */
  onFlush(): void;
  /** The peer reads more slowly than is written. May be called again and again. */
  onBlocked(): void;
  onDrained(): void;
}

// A string up to this size Node tries to write from the stack, without an allocation.
const textBytes = 16_384;
// Smaller chunks are copied into the text; larger ones are passed on as they are.
const copiedBytes = 4_096;
// So much in one turn of the loop goes out before its end.
const flushBytes = 65_536;

/**
 * Where pieces are put together that go out in one write, for all connections: the kernel takes nearly all writes at once, and
 * then it is free again. One that isn't is given away.
 */
let together = Buffer.allocUnsafeSlow(flushBytes);

/**
 * Collects what is written to a socket in one turn of the event loop, and writes it at once: small pieces as one latin1 string
 * (which costs less than Buffers, and holds on to none), large ones without copying.
 */
export class Output {
  /** How often bytes were given to the socket. */
  flushes = 0;
  blocked = false;
  readonly #socket: Duplex;
  readonly #listener: OutputListener;
  /** It is done with a buffer as soon as it has nothing more to write. */
  readonly #plain: boolean;
  #text = "";
  #pieces: (string | Uint8Array)[] = [];
  #pending = 0;
  #scheduled = false;
  #ended = false;
  readonly #stall = new Deadline();
  #queued = 0;

  constructor(socket: Duplex, listener: OutputListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#plain = socket instanceof Socket && !(socket instanceof TLSSocket);
    socket.on("drain", () => this.#drained());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Nothing waits here for the end of the turn. */
  get empty(): boolean {
    return this.#pending === 0;
  }

  /** Writes characters below U+0100. */
  text(text: string): void {
    this.#text += text;
    this.#added(text.length);
  }

  bytes(chunk: Uint8Array): void {
    const { length } = chunk;
    if (length <= copiedBytes) {
      if (this.#text.length + length > textBytes) this.#cut();
      this.#text += latin1(chunk, 0, length);
    } else {
      this.#cut();
      this.#pieces.push(chunk);
    }
    this.#added(length);
  }

  /** Writes data as a chunk of a chunked body. Not for empty data, which would end it. */
  chunk(chunk: Uint8Array): void {
    this.text(`${chunk.length.toString(16)}\r\n`);
    this.bytes(chunk);
    this.text("\r\n");
  }

  /** Ends our direction after what was written. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#schedule();
  }

  /** Forgets what wasn't given to the socket yet. */
  discard(): void {
    this.#text = "";
    this.#pieces = [];
    this.#pending = 0;
    this.#ended = true;
  }

  /** Whether the peer has taken nothing for `timeoutMs`. To be asked at every tick. */
  stalled(now: number, timeoutMs: number): boolean {
    if (!this.blocked) return false;
    const queued = queuedBytes(this.#socket);
    if (queued !== this.#queued) {
      this.#queued = queued;
      this.#stall.set(timeoutMs);
    }
    return this.#stall.passed(now);
  }

  flush(): void {
    this.#listener.onFlush();
    const socket = this.#socket;
    if (!socket.writable) {
      this.discard();
      return;
    }
    if (this.#pending > 0) {
      this.flushes++;
      const wanted = this.#write(socket);
      // Node says no as soon as its high-water mark is passed, also when the kernel took it all at once.
      if (!wanted && socket.writableLength > 0) {
        if (!this.blocked) this.#queued = -1;
        this.blocked = true;
        this.#listener.onBlocked();
      }
    }
    if (this.#ended && this.#pending === 0) socket.end();
  }

  #write(socket: Duplex): boolean {
    const text = this.#text;
    const pieces = this.#pieces;
    const pending = this.#pending;
    this.#text = "";
    this.#pending = 0;
    if (pieces.length === 0) return socket.write(text, "latin1");
    this.#pieces = [];
    if (text !== "") pieces.push(text);
    if (this.#plain && pieces.length > 1 && pending <= together.length && socket.writableLength === 0)
      return writeTogether(socket, pieces);
    let wanted = true;
    if (pieces.length > 1) socket.cork();
    for (const piece of pieces)
      wanted = typeof piece === "string" ? socket.write(piece, "latin1") : socket.write(piece);
    if (pieces.length > 1) socket.uncork();
    return wanted;
  }

  #cut(): void {
    if (this.#text === "") return;
    this.#pieces.push(this.#text);
    this.#text = "";
  }

  #added(length: number): void {
    this.#pending += length;
    if (this.#pending >= flushBytes) this.flush();
    else this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    schedule(this);
  }

  /** @internal */
  turnEnded(): void {
    this.#scheduled = false;
    this.flush();
  }

  #drained(): void {
    if (!this.blocked) return;
    this.blocked = false;
    this.#listener.onDrained();
  }
}

function writeTogether(socket: Duplex, pieces: readonly (string | Uint8Array)[]): boolean {
  let at = 0;
  for (let i = 0; i < pieces.length; i++) {
    const piece = pieces[i]!;
    if (typeof piece === "string") at += together.write(piece, at, "latin1");
    else {
      together.set(piece, at);
      at += piece.length;
    }
  }
  const wanted = socket.write(together.subarray(0, at));
  if (socket.writableLength > 0) together = Buffer.allocUnsafeSlow(flushBytes);
  return wanted;
}

/** The kernel's part of a large write isn't in `writableLength`, so that alone would make a slow reader look like a dead one. */
function queuedBytes(socket: Duplex): number {
  const handle = (socket as { _handle?: { writeQueueSize?: number } | null })._handle;
  return socket.writableLength + (handle?.writeQueueSize ?? 0);
}

// One immediate for all connections. An array that is reused, because it is filled and emptied in every turn.
const waiting: (Output | null)[] = [];
let count = 0;

function schedule(output: Output): void {
  if (count === 0) setImmediate(flushAll);
  waiting[count++] = output;
}

function flushAll(): void {
  // The list grows when a flush makes somebody write.
  let flushed = 0;
  try {
    while (flushed < count) {
      const output = waiting[flushed]!;
      waiting[flushed++] = null;
      output.turnEnded();
    }
  } finally {
    // A listener that throws must not keep the others from their turn.
    const left = count - flushed;
    for (let i = 0; i < left; i++) waiting[i] = waiting[flushed + i]!;
    for (let i = left; i < count; i++) waiting[i] = null;
    count = left;
    if (left > 0) setImmediate(flushAll);
  }
}
