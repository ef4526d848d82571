import type { HeaderList } from "../exchange.js";
import { ownedCopy } from "../lent-reads.js";
import { ChunkedDecoder } from "./chunked-decoder.js";
import { FieldBlock } from "./field-block.js";
import { HeadBuffer } from "./head-buffer.js";
import { HeadParser } from "./head-parser.js";
import type { Http1Limits } from "./limits.js";
import type { StartLine } from "./request-line.js";
import { type Violation, violations } from "./violation.js";

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

export interface ReaderListener {
  /** `line` and `fields` hold a head. To be answered with `expectLength`, `expectChunked`, `expectRaw`, `expectHead` or nothing. */
  onMessageHead(): void;
  onBodyData(chunk: Buffer): void;
  /** The body is complete. What follows stays unread until `expectHead`. */
  onBodyEnd(trailers: HeaderList | null): void;
  /** The message is refused. Nothing more is read. */
  onRefused(violation: Violation): void;
}

const headStage = 0;
const lengthStage = 1;
const chunkedStage = 2;
const rawStage = 3;
/** Between a message and the next: nothing is read. */
const restStage = 4;
/** Whatever comes is thrown away. */
const deadStage = 5;

/**
 * Reads messages of one role from what a socket gives, into a listener. It doesn't matter where the stream was cut into
 * chunks. Knows no socket.
 */
export class MessageReader<Line extends StartLine> {
  readonly line: Line;
  readonly fields: FieldBlock;
  /** While set, nothing is read. What comes is held. */
  paused = false;
  /** What it is fed is overwritten afterwards: what has to stay is copied. */
  lent = false;
  readonly #parser: HeadParser<Line>;
  readonly #listener: ReaderListener;
  readonly #limits: Http1Limits;
  readonly #maxLeadingLines: number;
  #partial: HeadBuffer | null = null;
  #decoder: ChunkedDecoder | null = null;
  #stage = headStage;
  #running = false;
  #chunk: Buffer | null = null;
  #at = 0;
  #remaining = 0;
  #leadingLines = 0;
  #leadingReturn = false;

  constructor(line: Line, limits: Http1Limits, maxLeadingLines: number, listener: ReaderListener) {
    this.line = line;
    this.fields = new FieldBlock(limits);
    this.#parser = new HeadParser(line, this.fields, limits);
    this.#listener = listener;
    this.#limits = limits;
    this.#maxLeadingLines = maxLeadingLines;
  }

  /** Bytes are held that nobody has read. */
  get holding(): boolean {
    return this.#chunk !== null;
  }

  /** Reading is under way: what is held may yet be read. */
  get running(): boolean {
    return this.#running;
  }

  /** A head has begun to come. */
  get inHead(): boolean {
    if (this.#stage !== headStage) return false;
    return this.#leadingReturn || this.#leadingLines > 0 || (this.#partial !== null && this.#partial.length > 0);
  }

  get raw(): boolean {
    return this.#stage === rawStage;
  }

  /** Bytes of the present body that are still to be read; Infinity when that isn't known. */
  get bodyLeft(): number {
    return this.#stage === lengthStage ? this.#remaining : Number.POSITIVE_INFINITY;
  }

  feed(chunk: Buffer): void {
    if (this.#chunk === null) this.#chunk = chunk;
    else {
      this.#chunk = Buffer.concat([this.#chunk.subarray(this.#at), chunk]);
      this.#at = 0;
    }
    this.run();
    if (this.lent && this.#chunk === chunk) this.#hold(chunk);
  }

  #hold(chunk: Buffer): void {
    this.#chunk = ownedCopy(chunk, this.#at, chunk.length);
    this.#at = 0;
  }

  /** Reads what is held, as far as it may. Called from within, it does nothing: the reading that is under way goes on. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#chunk !== null && !this.paused && this.#read(this.#chunk)) {}
    } finally {
      this.#running = false;
    }
  }

  expectHead(): void {
    this.#stage = headStage;
  }

  expectLength(length: number): void {
    this.#remaining = length;
    this.#stage = lengthStage;
  }

  expectChunked(): void {
    this.#decoder ??= new ChunkedDecoder(this.#limits);
    this.#decoder.reset();
    this.#stage = chunkedStage;
  }

  /** All that follows is data, up to the end of the stream. */
  expectRaw(): void {
    this.#stage = rawStage;
  }

  /** Throws away what is held and what will come. */
  kill(): void {
    this.#stage = deadStage;
    this.#drop();
    this.#partial = null;
  }

  #drop(): void {
    this.#chunk = null;
    this.#at = 0;
  }

  #advance(chunk: Buffer, at: number): void {
    if (at < chunk.length) this.#at = at;
    else this.#drop();
  }

  #read(chunk: Buffer): boolean {
    switch (this.#stage) {
      case headStage:
        return this.#readHead(chunk);
      case lengthStage:
        this.#readLength(chunk);
        return true;
      case chunkedStage:
        this.#readChunked(chunk, this.#decoder!);
        return true;
      case rawStage: {
        const at = this.#at;
        this.#drop();
        this.#listener.onBodyData(this.#part(chunk, at, chunk.length));
        return true;
      }
      case deadStage:
        this.#drop();
        return false;
      default:
        return false;
    }
  }

  #refuse(violation: Violation): boolean {
    this.kill();
    this.#listener.onRefused(violation);
    return false;
  }

  #readHead(chunk: Buffer): boolean {
    const partial = this.#partial;
    if (partial !== null && partial.length > 0) return this.#readOn(chunk, partial);
    const first = chunk[this.#at]!;
    if (this.#leadingReturn || first === carriageReturn || first === lineFeed)
      return this.#readLeadingLine(chunk, first);
    const end = this.#parser.parse(chunk, this.#at);
    if (end > 0) {
      this.#advance(chunk, end);
      this.#headDone();
      return true;
    }
    if (end < 0) return this.#refuse(this.#parser.violation);
    this.#partial ??= new HeadBuffer(this.#limits.maxHeadBytes, violations.headTooLarge);
    return this.#readOn(chunk, this.#partial);
  }

  #readLeadingLine(chunk: Buffer, octet: number): boolean {
    if (!this.#leadingReturn) {
      if (octet === lineFeed) return this.#refuse(violations.lineEnding);
      if (this.#leadingLines >= this.#maxLeadingLines) return this.#refuse(violations.leadingLines);
      this.#leadingReturn = true;
    } else {
      if (octet !== lineFeed) return this.#refuse(violations.lineEnding);
      this.#leadingReturn = false;
      this.#leadingLines++;
    }
    this.#advance(chunk, this.#at + 1);
    return true;
  }

  #readOn(chunk: Buffer, partial: HeadBuffer): boolean {
    this.#advance(chunk, this.#at + partial.take(chunk, this.#at));
    if (partial.violation !== null) return this.#refuse(partial.violation);
    if (!partial.complete) return true;
    const end = this.#parser.parse(partial.bytes, 0);
    partial.clear();
    if (end <= 0) return this.#refuse(this.#parser.violation);
    this.#headDone();
    return true;
  }

  #headDone(): void {
    this.#stage = restStage;
    this.#leadingLines = 0;
    this.#listener.onMessageHead();
  }

  #readLength(chunk: Buffer): void {
    const data = this.#take(chunk, this.#remaining);
    this.#remaining -= data.length;
    const last = this.#remaining === 0;
    this.#listener.onBodyData(data);
    if (last && this.#stage === lengthStage) this.#bodyDone(null);
  }

  #readChunked(chunk: Buffer, decoder: ChunkedDecoder): void {
    if (decoder.remaining > 0) {
      const data = this.#take(chunk, decoder.remaining);
      decoder.remaining -= data.length;
      this.#listener.onBodyData(data);
      return;
    }
    this.#advance(chunk, decoder.read(chunk, this.#at));
    if (decoder.violation !== null) this.#refuse(decoder.violation);
    else if (decoder.done) this.#bodyDone(decoder.trailers);
  }

  #take(chunk: Buffer, wanted: number): Buffer {
    const at = this.#at;
    const end = Math.min(chunk.length, at + wanted);
    this.#advance(chunk, end);
    return this.#part(chunk, at, end);
  }

  /** A part of a chunk as whoever takes it may keep it. */
  #part(chunk: Buffer, start: number, end: number): Buffer {
    if (this.lent) return ownedCopy(chunk, start, end);
    return start === 0 && end === chunk.length ? chunk : chunk.subarray(start, end);
  }

  #bodyDone(trailers: HeaderList | null): void {
    this.#stage = restStage;
    this.#listener.onBodyEnd(trailers);
  }
}
