import { errorCode, flag, frameHeaderBytes, frameType, preface } from "./frame.js";

/** What a reader finds. Payloads are ranges of a buffer that is only lent, except those of DATA, which are owned. */
export interface FrameHandler {
  /** A whole frame other than DATA. */
  onFrame(type: number, flags: number, id: number, buffer: Buffer, start: number, end: number): void;
  /** A DATA frame begins; its payload comes in pieces as the socket gives it. */
  onDataStart(id: number, flags: number, length: number): void;
  onDataPiece(buffer: Buffer, start: number, end: number): void;
  /** The DATA frame is complete; `padding` counts all of it that was no payload. */
  onDataEnd(padding: number): void;
  /** The input is broken beyond repair. */
  onReadError(code: number, message: string): void;
}

const none: Buffer = Buffer.alloc(0);

/**
 * Cuts a connection's bytes into frames (RFC 9113, section 4.1). Whole frames are handed on where they lie; only what a
 * read cuts in two is copied. DATA is never collected.
 */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #maxFrameBytes: number;
  #stopped = false;
  #prefaceAt: number;
  /** The start of a frame that is not complete: its header, then all of it. */
  #partial: Buffer = none;
  #have = 0;
  #want = 0;
  /** Inside a DATA frame. */
  #inData = false;
  #payloadLeft = 0;
  #paddingLeft = 0;
  #padding = 0;
  #padLengthNext = false;

  /** `expectPreface`: the peer is a client, which says RFC 9113, section 3.4, first. */
  constructor(handler: FrameHandler, maxFrameBytes: number, expectPreface: boolean) {
    this.#handler = handler;
    this.#maxFrameBytes = maxFrameBytes;
    this.#prefaceAt = expectPreface ? 0 : preface.length;
  }

  /** Reads nothing more, also of the chunk that is being read. */
  stop(): void {
    this.#stopped = true;
    this.#partial = none;
  }

  read(chunk: Buffer): void {
    let at = 0;
    if (this.#prefaceAt < preface.length) at = this.#readPreface(chunk);
    const end = chunk.length;
    while (!this.#stopped) {
      if (this.#inData) {
        at = this.#readData(chunk, at);
        if (this.#inData) return;
      } else if (at === end) return;
      else if (this.#have > 0 || end - at < frameHeaderBytes) at = this.#readPartial(chunk, at);
      else {
        const length = (chunk[at]! << 16) | (chunk[at + 1]! << 8) | chunk[at + 2]!;
        if (chunk[at + 3] === frameType.data || length > this.#maxFrameBytes) {
          this.#start(chunk, at);
          at += frameHeaderBytes;
        } else if (end - at - frameHeaderBytes < length) at = this.#readPartial(chunk, at);
        else {
          const start = at + frameHeaderBytes;
          this.#frame(chunk, at, start, start + length);
          at = start + length;
        }
      }
    }
  }

  #readPreface(chunk: Buffer): number {
    const length = Math.min(preface.length - this.#prefaceAt, chunk.length);
    for (let at = 0; at < length; at += 1) {
      if (chunk[at] !== preface[this.#prefaceAt + at]) {
        this.#handler.onReadError(errorCode.protocol, "the connection does not start with the HTTP/2 preface");
        return chunk.length;
      }
    }
    this.#prefaceAt += length;
    return length;
  }

  #frame(buffer: Buffer, at: number, start: number, end: number): void {
    const id = ((buffer[at + 5]! & 0x7f) << 24) | (buffer[at + 6]! << 16) | (buffer[at + 7]! << 8) | buffer[at + 8]!;
    this.#handler.onFrame(buffer[at + 3]!, buffer[at + 4]!, id, buffer, start, end);
  }

  /** Looks at a complete frame header: refuses what is too long, and begins DATA. */
  #start(buffer: Buffer, at: number): void {
    const length = (buffer[at]! << 16) | (buffer[at + 1]! << 8) | buffer[at + 2]!;
    if (length > this.#maxFrameBytes) {
      this.#handler.onReadError(errorCode.frameSize, "a frame is longer than our SETTINGS_MAX_FRAME_SIZE");
      return;
    }
    const id = ((buffer[at + 5]! & 0x7f) << 24) | (buffer[at + 6]! << 16) | (buffer[at + 7]! << 8) | buffer[at + 8]!;
    const flags = buffer[at + 4]!;
    this.#padLengthNext = (flags & flag.padded) !== 0;
    if (this.#padLengthNext && length === 0) {
      this.#handler.onReadError(errorCode.frameSize, "a padded frame has no pad length");
      return;
    }
    this.#inData = true;
    this.#payloadLeft = length;
    this.#paddingLeft = 0;
    this.#padding = 0;
    this.#handler.onDataStart(id, flags, length);
  }

  #readData(chunk: Buffer, at: number): number {
    if (this.#padLengthNext) {
      if (at === chunk.length) return at;
      const length = chunk[at]!;
      at += 1;
      this.#payloadLeft -= 1;
      this.#padLengthNext = false;
      if (length > this.#payloadLeft) {
        this.#handler.onReadError(errorCode.protocol, "a frame has more padding than payload");
        return at;
      }
      this.#payloadLeft -= length;
      this.#paddingLeft = length;
      this.#padding = length + 1;
    }
    if (this.#payloadLeft > 0) {
      const piece = Math.min(this.#payloadLeft, chunk.length - at);
      if (piece === 0) return at;
      this.#payloadLeft -= piece;
      this.#handler.onDataPiece(chunk, at, at + piece);
      at += piece;
      if (this.#payloadLeft > 0) return at;
    }
    const skipped = Math.min(this.#paddingLeft, chunk.length - at);
    this.#paddingLeft -= skipped;
    if (this.#paddingLeft > 0) return at + skipped;
    this.#inData = false;
    if (!this.#stopped) this.#handler.onDataEnd(this.#padding);
    return at + skipped;
  }

  /** Collects a frame that reads cut up: first its header, then, unless it is DATA, its payload. */
  #readPartial(chunk: Buffer, at: number): number {
    if (this.#have === 0) {
      this.#partial = Buffer.allocUnsafe(64);
      this.#want = frameHeaderBytes;
    }
    at = this.#collect(chunk, at);
    if (this.#have < this.#want) return at;
    if (this.#want === frameHeaderBytes) {
      const header = this.#partial;
      const length = (header[0]! << 16) | (header[1]! << 8) | header[2]!;
      if (header[3] === frameType.data || length > this.#maxFrameBytes) {
        this.#have = 0;
        this.#partial = none;
        this.#start(header, 0);
        return at;
      }
      this.#want += length;
      if (this.#want > header.length) {
        this.#partial = Buffer.allocUnsafeSlow(this.#want);
        header.copy(this.#partial, 0, 0, frameHeaderBytes);
      }
      at = this.#collect(chunk, at);
      if (this.#have < this.#want) return at;
    }
    const frame = this.#partial;
    const end = this.#want;
    this.#have = 0;
    this.#partial = none;
    this.#frame(frame, 0, frameHeaderBytes, end);
    return at;
  }

  #collect(chunk: Buffer, at: number): number {
    const length = Math.min(this.#want - this.#have, chunk.length - at);
    chunk.copy(this.#partial, this.#have, at, at + length);
    this.#have += length;
    return at + length;
  }
}
