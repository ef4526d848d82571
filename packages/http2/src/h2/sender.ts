import type { Duplex } from "node:stream";
import type { Exchange, HeaderList } from "../exchange.js";
import {
  defaultWindow,
  flag,
  frameHeaderBytes,
  frameType,
  maxWindow,
  minFrameBytes,
  writeFrameHeader,
  writeUint32,
} from "./frame.js";
import { HpackEncoder } from "./hpack-encoder.js";
import { origProtoValue } from "./orig-proto.js";
import { Output, type OutputOwner } from "./output.js";
import type { Stream } from "./stream.js";

/** DATA waits in its streams while this much is queued or in flight, so that it can't delay the frames of others. */
const outputHighWaterBytes = 131_072;
const congestedBytes = 1_048_576;
/** Heads are encoded in place when they surely fit into one frame. */
const placedHeadBytes = minFrameBytes - frameHeaderBytes;

// Numbers as strings, made once.
const statusTexts: string[] = Array.from({ length: 1000 }, (_, status) => String(status));

/** Why a head was not written. */
export const headFault = Object.freeze({ none: 0, malformed: 1, tooLong: 2 } as const);

/**
 * Everything a session sends: frames in order, DATA within both windows and in turn (RFC 9113, sections 5.2 and 6.9).
 */
export class Sender {
  readonly output: Output;
  readonly encoder: HpackEncoder;
  /** What we may send on the connection, on a new stream, and in one head. */
  window = defaultWindow;
  initialWindow = defaultWindow;
  maxHeaderListBytes: number = Number.POSITIVE_INFINITY;
  /** DATA frames sent, to judge the WINDOW_UPDATEs that come back. */
  dataFrames = 0;

  #maxFrameBytes = minFrameBytes;
  // Streams with something to send and a window to send it in, taken in turn.
  #first: Stream | null = null;
  #last: Stream | null = null;

  constructor(socket: Duplex, owner: OutputOwner) {
    this.output = new Output(socket, owner);
    this.encoder = new HpackEncoder();
  }

  /** The peer's SETTINGS_MAX_FRAME_SIZE. Larger frames than 16 KiB would only make neighbours wait. */
  setMaxFrame(bytes: number): void {
    this.#maxFrameBytes = Math.min(bytes, minFrameBytes);
  }

  /** So much is queued that not even heads should be added: the peer does not read. */
  get congested(): boolean {
    return this.output.bytes >= congestedBytes;
  }

  raw(bytes: Uint8Array): void {
    this.output.append(bytes, 0, bytes.length);
  }

  settings(pairs: readonly number[]): void {
    const output = this.output;
    output.reserve(frameHeaderBytes + pairs.length * 3);
    let at = writeFrameHeader(output.block, output.at, pairs.length * 3, frameType.settings, 0, 0);
    for (let index = 0; index < pairs.length; index += 2) {
      output.block[at++] = pairs[index]! >>> 8;
      output.block[at++] = pairs[index]!;
      at = writeUint32(output.block, at, pairs[index + 1]!);
    }
    output.at = at;
  }

  settingsAck(): void {
    this.output.reserve(frameHeaderBytes);
    this.output.at = writeFrameHeader(this.output.block, this.output.at, 0, frameType.settings, flag.ack, 0);
  }

  /** A PING with eight bytes from a buffer. */
  ping(flags: number, buffer: Buffer, start: number): void {
    const output = this.output;
    output.reserve(frameHeaderBytes + 8);
    const at = writeFrameHeader(output.block, output.at, 8, frameType.ping, flags, 0);
    for (let index = 0; index < 8; index += 1) output.block[at + index] = buffer[start + index]!;
    output.at = at + 8;
  }

  goaway(lastId: number, code: number): void {
    const output = this.output;
    output.reserve(frameHeaderBytes + 8);
    const at = writeFrameHeader(output.block, output.at, 8, frameType.goaway, 0, 0);
    output.at = writeUint32(output.block, writeUint32(output.block, at, lastId), code);
  }

  reset(id: number, code: number): void {
    this.#word(frameType.rstStream, id, code);
  }

  windowUpdate(id: number, bytes: number): void {
    this.#word(frameType.windowUpdate, id, bytes);
  }

  #word(type: number, id: number, value: number): void {
    const output = this.output;
    output.reserve(frameHeaderBytes + 4);
    const at = writeFrameHeader(output.block, output.at, 4, type, 0, id);
    output.at = writeUint32(output.block, at, value);
  }

  /** A request's head. `carry`: with the header that restores its HTTP/1 version. */
  request(stream: Stream, x: Exchange, protocol: string, carry: boolean, end: boolean): number {
    const origProto = carry ? origProtoValue(x.version, x.absoluteForm) : "";
    const bytes = x.method.length + x.authority.length + x.path.length + protocol.length + 224;
    const fault = this.#openHead(x.headers, bytes);
    if (fault !== headFault.none) return fault;
    const encoder = this.encoder;
    const connect = x.method === "CONNECT" && protocol === "";
    encoder.method(x.method);
    if (!connect) encoder.scheme(x.scheme);
    if (x.authority !== "") encoder.authority(x.authority);
    if (!connect) encoder.path(x.path);
    if (protocol !== "") encoder.field(":protocol", protocol);
    encoder.headers(x.headers, carry);
    if (carry) encoder.origProto(origProto);
    return this.#closeHead(stream, end);
  }

  /** A response's head; `origProto` is empty unless the request was carried. */
  response(stream: Stream, status: number, headers: HeaderList, origProto: string, end: boolean): number {
    const fault = this.#openHead(headers, 128);
    if (fault !== headFault.none) return fault;
    this.encoder.status(statusTexts[status] ?? "500");
    this.encoder.headers(headers, false);
    if (origProto !== "") this.encoder.origProto(origProto);
    return this.#closeHead(stream, end);
  }

  trailers(stream: Stream, headers: HeaderList): number {
    const fault = this.#openHead(headers, 0);
    if (fault !== headFault.none) return fault;
    this.encoder.headers(headers, false);
    return this.#closeHead(stream, true);
  }

  /** Makes room for a head and begins its block, in the output itself if it surely fits one frame. */
  #openHead(headers: HeaderList, extraBytes: number): number {
    let bytes = extraBytes + this.encoder.beginBytes;
    for (let at = 0; at < headers.length; at += 2) {
      bytes += HpackEncoder.fieldBytes(headers[at]!, headers[at + 1]!);
    }
    // The encoder's bound is below the RFC's count by 20 for each field.
    if (bytes + headers.length * 10 > this.maxHeaderListBytes) return headFault.tooLong;
    if (bytes <= placedHeadBytes) {
      this.output.reserve(frameHeaderBytes + bytes);
      this.encoder.begin(this.output.block, this.output.at + frameHeaderBytes);
    } else this.encoder.begin(Buffer.allocUnsafeSlow(bytes), 0);
    return headFault.none;
  }

  #closeHead(stream: Stream, end: boolean): number {
    const encoder = this.encoder;
    const output = this.output;
    const block = encoder.end();
    if (encoder.fault !== null) return headFault.malformed;
    const flags = end ? flag.endStream | flag.endHeaders : flag.endHeaders;
    if (block === output.block) {
      const start = output.at + frameHeaderBytes;
      stream.flagAt = output.at + 4;
      stream.flagSerial = output.serial;
      writeFrameHeader(block, output.at, encoder.at - start, frameType.headers, flags, stream.id);
      output.at = encoder.at;
      return headFault.none;
    }
    stream.flagSerial = -1;
    this.#fragments(stream.id, block, encoder.at, end);
    return headFault.none;
  }

  /** A head that takes more than one frame (section 6.10). */
  #fragments(id: number, block: Buffer, length: number, end: boolean): void {
    let type: number = frameType.headers;
    for (let at = 0; at < length; at += this.#maxFrameBytes) {
      const next = Math.min(length, at + this.#maxFrameBytes);
      const flags = (next === length ? flag.endHeaders : 0) | (end && at === 0 ? flag.endStream : 0);
      this.#header(next - at, type, flags, id);
      this.output.append(block, at, next);
      type = frameType.continuation;
    }
  }

  #header(length: number, type: number, flags: number, id: number): void {
    const output = this.output;
    output.reserve(frameHeaderBytes);
    output.at = writeFrameHeader(output.block, output.at, length, type, flags, id);
  }

  /** Sends what the windows and the output take of a chunk; returns where the rest starts. */
  data(stream: Stream, chunk: Uint8Array, from: number, maxFrames: number): number {
    const output = this.output;
    const length = chunk.length;
    while (from < length && maxFrames > 0) {
      let bytes = length - from;
      if (bytes > this.#maxFrameBytes) bytes = this.#maxFrameBytes;
      if (bytes > stream.sendWindow) bytes = stream.sendWindow;
      if (bytes > this.window) bytes = this.window;
      if (bytes <= 0 || output.bytes >= outputHighWaterBytes) break;
      output.reserve(frameHeaderBytes);
      stream.flagAt = output.at + 4;
      stream.flagSerial = output.serial;
      output.at = writeFrameHeader(output.block, output.at, bytes, frameType.data, 0, stream.id);
      output.append(chunk, from, from + bytes);
      stream.sendWindow -= bytes;
      stream.sentBytes += bytes;
      this.window -= bytes;
      this.dataFrames += 1;
      from += bytes;
      maxFrames -= 1;
    }
    return from;
  }

  /** END_STREAM: on the stream's last frame if that has not left yet, else on an empty one. */
  end(stream: Stream): void {
    const output = this.output;
    if (stream.flagSerial === output.serial) {
      output.block[stream.flagAt] = output.block[stream.flagAt]! | flag.endStream;
    } else this.#header(0, frameType.data, flag.endStream, stream.id);
  }

  /** Puts a stream in line, at the end. */
  enqueue(stream: Stream): void {
    if (stream.inLine) return;
    stream.inLine = true;
    stream.previousInLine = this.#last;
    if (this.#last === null) this.#first = stream;
    else this.#last.nextInLine = stream;
    this.#last = stream;
  }

  dequeue(stream: Stream): void {
    if (!stream.inLine) return;
    stream.inLine = false;
    const next = stream.nextInLine;
    const previous = stream.previousInLine;
    stream.nextInLine = null;
    stream.previousInLine = null;
    if (previous === null) this.#first = next;
    else previous.nextInLine = next;
    if (next === null) this.#last = previous;
    else next.previousInLine = previous;
  }

  /** Lets the streams in line send, a frame each in turn, as far as the connection allows. */
  pump(): void {
    while (this.#first !== null && this.window > 0 && this.output.bytes < outputHighWaterBytes) {
      const stream = this.#first;
      this.dequeue(stream);
      stream.sendQueued();
    }
  }

  /** Widens the connection's window; `false`: beyond what is allowed. */
  widen(bytes: number): boolean {
    this.window += bytes;
    return this.window <= maxWindow;
  }
}
