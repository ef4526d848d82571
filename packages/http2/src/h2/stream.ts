import type { HeaderList } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { ownedCopy } from "../lent-reads.js";
import { errorCode } from "./frame.js";
import type { Session } from "./session.js";

/** Held pieces below this, or below this part of it, are copied, so that a little doesn't pin the whole read it came in. */
const copyBelowBytes = 1_024;
const copyBelowPart = 4;
const minSlabBytes = 256;
const maxSlabBytes = 16_384;
/** What a blocked stream has to move in each `stallTimeoutMs`, unless less is queued. */
const stallBytes = 65_536;

/**
 * One stream (RFC 9113, section 5): its state on the wire, what waits to be sent, and what was received and not yet taken.
 * What it is half of, a request or a response, is the subclasses' affair.
 */
export abstract class Stream {
  readonly id: number;
  readonly session: Session;
  /** END_STREAM or RST_STREAM has been sent, has been received. */
  localDone = false;
  remoteDone = false;
  /** It has left the session's table. */
  closed = false;

  sendWindow: number;
  sentBytes = 0;
  /** Where END_STREAM can still be added to the last frame; see `Sender.end`. */
  flagAt = 0;
  flagSerial = -1;
  inLine = false;
  nextInLine: Stream | null = null;
  previousInLine: Stream | null = null;
  #sendQueue: Uint8Array[] | null = null;
  #sendHead = 0;
  #sendFrom = 0;
  #queuedBytes = 0;
  #endQueued = false;
  #trailersQueued: HeaderList | null = null;
  #producerPaused = false;
  #stalledAt = -1;
  #stallMark = 0;

  recvWindow: number;
  /** The body's length as declared, or -1. */
  contentLength = -1;
  #receivedBytes = 0;
  #consumedBytes = 0;
  #held: Uint8Array[] | null = null;
  #heldHead = 0;
  #heldBytes = 0;
  /** Where small pieces are put together: the last of what is held; `null` when that is something else. */
  #slab: Buffer | null = null;
  #slabUsed = 0;
  #paused = false;
  #delivering = false;
  #discarding = false;
  #endHeld = false;
  #trailersHeld: HeaderList | null = null;

  constructor(session: Session, id: number) {
    this.session = session;
    this.id = id;
    this.sendWindow = session.sender.initialWindow;
    this.recvWindow = session.config.streamWindowBytes;
  }

  /** A piece of body, and its end, for whoever takes it. */
  protected abstract onBody(chunk: Uint8Array): void;
  protected abstract onBodyEnd(trailers: HeaderList | null): void;
  protected abstract pauseProducer(): void;
  protected abstract resumeProducer(): void;
  /** END_STREAM has been sent, and the peer is not done yet. */
  protected abstract onLocalEnd(): void;
  /** The stream has left the table. */
  protected abstract onClosed(): void;
  /** The trailers we were given can't be sent. */
  protected abstract onBadTrailers(): void;
  /** A complete header block for this stream; the session's block holds it. */
  abstract onBlock(end: boolean): void;
  /** The peer reset the stream. */
  abstract onReset(code: number): void;
  /** The stream is over without the peer having said so: the session ended, or reset it. */
  abstract onLost(error: ExchangeError): void;

  // Sending

  /** Queues a piece of body. */
  protected queue(chunk: Uint8Array): void {
    if (this.localDone || this.#endQueued || chunk.length === 0) return;
    const session = this.session;
    if (this.#queuedBytes === 0) {
      const sent = session.sender.data(this, chunk, 0, Number.POSITIVE_INFINITY);
      if (sent === chunk.length) return;
      this.#sendFrom = sent;
      this.#queuedBytes = -sent;
    }
    this.#sendQueue ??= [];
    this.#sendQueue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.sendWindow > 0) session.sender.enqueue(this);
    if (!this.#producerPaused && this.#queuedBytes > session.config.sendQueueBytes) {
      this.#producerPaused = true;
      this.pauseProducer();
    }
  }

  /** Queues the end of the body. */
  protected queueEnd(trailers: HeaderList | null): void {
    if (this.localDone || this.#endQueued) return;
    this.#endQueued = true;
    this.#trailersQueued = trailers;
    if (this.#queuedBytes === 0) this.#sendEnd();
  }

  /** Sends one frame of what is queued; called by the sender in turn. */
  sendQueued(): void {
    const queue = this.#sendQueue;
    if (queue === null || this.#queuedBytes === 0) return;
    const chunk = queue[this.#sendHead]!;
    const from = this.session.sender.data(this, chunk, this.#sendFrom, 1);
    this.#queuedBytes -= from - this.#sendFrom;
    this.#sendFrom = from;
    if (from === chunk.length) {
      this.#sendFrom = 0;
      this.#sendHead += 1;
      if (this.#sendHead === queue.length) {
        queue.length = 0;
        this.#sendHead = 0;
      } else if (this.#sendHead === 64) {
        queue.splice(0, 64);
        this.#sendHead = 0;
      }
    }
    if (this.#queuedBytes > 0) {
      if (this.sendWindow > 0) this.session.sender.enqueue(this);
    } else if (this.#endQueued) {
      this.#sendEnd();
      return;
    }
    if (this.#producerPaused && this.#queuedBytes <= this.session.config.sendQueueBytes >>> 1) {
      this.#producerPaused = false;
      this.resumeProducer();
    }
  }

  #sendEnd(): void {
    const trailers = this.#trailersQueued;
    this.#trailersQueued = null;
    if (trailers !== null && trailers.length > 0) {
      if (this.session.sender.trailers(this, trailers) !== 0) {
        this.onBadTrailers();
        return;
      }
    } else this.session.sender.end(this);
    this.endedLocally();
  }

  /** To be called when END_STREAM has gone out with something else than `queueEnd`. */
  protected endedLocally(): void {
    this.localDone = true;
    if (this.remoteDone) this.close();
    else this.onLocalEnd();
  }

  /** The peer's window for this stream grew, or shrank. `false`: beyond what is allowed. */
  widen(bytes: number): boolean {
    this.sendWindow += bytes;
    if (this.sendWindow > 0x7fffffff) return false;
    if (this.sendWindow > 0 && this.#queuedBytes > 0) this.session.sender.enqueue(this);
    return true;
  }

  /** Whether the peer has kept this stream from sending for too long. */
  stalledFor(clockMs: number): number {
    // With a window to send in it is not the stream that is slow; the connection's own watch sees to that.
    if (this.#queuedBytes === 0 || (this.sendWindow > 0 && this.session.sender.window > 0)) {
      this.#stalledAt = -1;
      return 0;
    }
    if (this.#stalledAt < 0 || this.sentBytes >= this.#stallMark) {
      this.#stalledAt = clockMs;
      this.#stallMark = this.sentBytes + Math.min(this.#queuedBytes, stallBytes);
    }
    return clockMs - this.#stalledAt;
  }

  // Receiving

  /** A piece of a DATA frame. The session has taken it out of the windows. */
  receive(buffer: Buffer, start: number, end: number): void {
    const bytes = end - start;
    this.#receivedBytes += bytes;
    if (this.contentLength >= 0 && this.#receivedBytes > this.contentLength) {
      this.session.streamError(this, errorCode.protocol, "the body is longer than content-length");
      return;
    }
    if (this.#discarding) return;
    if (this.#paused || this.#delivering || this.#heldBytes > 0) {
      this.#held ??= [];
      if (bytes < copyBelowBytes || bytes * copyBelowPart < buffer.length) this.#holdCopy(buffer, start, end);
      else {
        this.#held.push(this.#piece(buffer, start, end));
        this.#slab = null;
      }
      this.#heldBytes += bytes;
      this.session.bufferedBytes += bytes;
      return;
    }
    this.#delivering = true;
    this.onBody(this.#piece(buffer, start, end));
    this.#delivering = false;
    this.consumed(bytes);
    if (this.#heldBytes > 0) this.#deliver();
  }

  /** A piece as whoever takes it may keep it. */
  #piece(buffer: Buffer, start: number, end: number): Buffer {
    if (this.session.lent) return ownedCopy(buffer, start, end);
    return end - start === buffer.length ? buffer : buffer.subarray(start, end);
  }

  /**
   * Holds a copy of a piece, behind the one before in the same slab: a view of its own would weigh far more than the one byte a
   * peer may send at a time. Slabs grow with what is held, so that they never weigh much more than that.
   */
  #holdCopy(buffer: Buffer, start: number, end: number): void {
    const held = this.#held!;
    const bytes = end - start;
    if (this.#slab === null || this.#slab.length - this.#slabUsed < bytes) {
      const room = Math.min(Math.max(this.#heldBytes, minSlabBytes), maxSlabBytes);
      // Not from Node's pool, of which each piece would hold all.
      this.#slab = Buffer.allocUnsafeSlow(Math.max(bytes, room));
      this.#slabUsed = 0;
      held.push(this.#slab);
    }
    buffer.copy(this.#slab, this.#slabUsed, start, end);
    this.#slabUsed += bytes;
    held[held.length - 1] = this.#slab.subarray(0, this.#slabUsed);
  }

  /** END_STREAM came. */
  receiveEnd(trailers: HeaderList | null): void {
    if (this.contentLength >= 0 && this.#receivedBytes !== this.contentLength) {
      this.session.streamError(this, errorCode.protocol, "the body is shorter than content-length");
      return;
    }
    this.remoteDone = true;
    if (this.localDone) this.close();
    if (this.#discarding) return;
    this.#endHeld = true;
    this.#trailersHeld = trailers;
    this.#deliver();
  }

  /** Bytes were taken and may be sent again. */
  consumed(bytes: number): void {
    this.#consumedBytes += bytes;
    if (this.#paused || this.remoteDone || this.closed || this.#discarding) return;
    if (this.#consumedBytes < this.session.config.streamWindowBytes >>> 1) return;
    this.recvWindow += this.#consumedBytes;
    this.session.sender.windowUpdate(this.id, this.#consumedBytes);
    this.#consumedBytes = 0;
  }

  protected pauseReceiving(): void {
    this.#paused = true;
  }

  protected resumeReceiving(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.consumed(0);
    this.#deliver();
  }

  /** Nobody wants the rest: what is held goes, what still comes is not kept. */
  protected discard(): void {
    this.#discarding = true;
    this.#held = null;
    this.#slab = null;
    this.#heldHead = 0;
    this.session.unbuffered(this.#heldBytes);
    this.#heldBytes = 0;
    this.#endHeld = false;
    this.#trailersHeld = null;
  }

  /** Whether the end was received and still waits behind what is held. */
  protected get endHeld(): boolean {
    return this.#endHeld;
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#heldBytes > 0 && !this.#paused) {
      const held = this.#held!;
      const chunk = held[this.#heldHead]!;
      this.#heldHead += 1;
      if (this.#heldHead === held.length) {
        this.#held = null;
        this.#slab = null;
        this.#heldHead = 0;
      }
      this.#heldBytes -= chunk.length;
      this.session.unbuffered(chunk.length);
      this.onBody(chunk);
      this.consumed(chunk.length);
    }
    this.#delivering = false;
    if (!this.#endHeld || this.#heldBytes > 0 || !this.takesEnd()) return;
    this.#endHeld = false;
    const trailers = this.#trailersHeld;
    this.#trailersHeld = null;
    this.onBodyEnd(trailers);
  }

  /** Whether there is somebody to tell the end to. */
  protected takesEnd(): boolean {
    return true;
  }

  // The end

  /** Leaves the table. What was received and not yet taken stays. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.localDone = true;
    this.remoteDone = true;
    this.session.forget(this);
    if (this.#queuedBytes > 0 || this.inLine) this.#dropQueue();
    this.onClosed();
  }

  #dropQueue(): void {
    this.session.sender.dequeue(this);
    this.#sendQueue = null;
    this.#sendHead = 0;
    this.#queuedBytes = 0;
    this.#trailersQueued = null;
  }
}
