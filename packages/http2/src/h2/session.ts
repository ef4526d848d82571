import type { Duplex } from "node:stream";
import { type ErrorRow, ExchangeError } from "../exchange-error.js";
import { spent } from "./flood-budget.js";
import { defaultWindow, errorCode, flag, frameType, maxWindow, readUint32 } from "./frame.js";
import { type FrameHandler, FrameReader } from "./frame-reader.js";
import { HeaderAssembly } from "./header-assembly.js";
import { blockRole, HeaderBlock } from "./header-block.js";
import { HpackDecoder } from "./hpack-decoder.js";
import { keepAlivePing } from "./keep-alive.js";
import type { Http2Config } from "./limits.js";
import { SessionLife } from "./session-life.js";
import { PeerSettings } from "./settings.js";
import type { Stream } from "./stream.js";

// Not 431, which would say that the request's head was.
const responseTooLarge: ErrorRow = Object.freeze({ status: 502, grpcStatus: 8 });

/** What both roles do with the frames of a connection (RFC 9113, section 6), and its receiving window. */
export abstract class Session extends SessionLife implements FrameHandler {
  readonly peer = new PeerSettings();
  /** The header block that is being looked at. */
  block: HeaderBlock;
  /** Bytes that were received and wait in paused streams. */
  bufferedBytes = 0;

  readonly #decoder: HpackDecoder;
  readonly #heads: HeaderBlock;
  /** Apart from heads, so that both may come again where they take turns (gRPC). Made when trailers come. */
  #trailers: HeaderBlock | null = null;
  readonly #reader: FrameReader;
  readonly #assembly: HeaderAssembly;
  #recvWindow: number;
  /** Received, not yet granted again. */
  #recvSpent = 0;
  #dataStream: Stream | null = null;
  #dataFlags = 0;
  #dataLength = 0;
  /** DATA frames of ours that were counted in favour of WINDOW_UPDATEs, and of PINGs. */
  #dataFramesEarned = 0;
  #pingFramesEarned = 0;

  constructor(socket: Duplex, config: Http2Config, expectPreface: boolean) {
    super(socket, config);
    this.#heads = new HeaderBlock(config.maxHeaderListBytes, config.maxHeaderListPairs);
    this.block = this.#heads;
    this.#decoder = new HpackDecoder(config.headerTableBytes);
    this.#reader = new FrameReader(this, config.maxFrameBytes, expectPreface);
    this.#assembly = new HeaderAssembly(config.maxHeaderListBytes);
    this.#recvWindow = config.connectionWindowBytes;
  }

  /** HEADERS of a stream that is not in the table. */
  protected abstract onNewHead(id: number, end: boolean): void;
  /** `blockRole` of a block for a stream, which is `null` when it is not open. */
  protected abstract roleOfBlock(stream: Stream | null): number;
  /** Whether an id has not been used yet, by either side. */
  protected abstract isIdle(id: number): boolean;
  protected abstract onSettings(): void;
  protected abstract onGoaway(lastId: number, code: number): void;
  /** Our PING of a drain came back. */
  protected abstract onDrainPing(): void;

  /** Our SETTINGS, and the wider window of the connection. */
  protected greet(pairs: readonly number[]): void {
    this.sender.settings(pairs);
    const more = this.config.connectionWindowBytes - defaultWindow;
    if (more > 0) this.sender.windowUpdate(0, more);
  }

  protected onBytes(chunk: Buffer): void {
    this.#reader.read(chunk);
  }

  protected stopReading(): void {
    this.#reader.stop();
    this.#assembly.clear();
  }

  protected get headerSince(): number {
    return this.#assembly.id === 0 ? -1 : this.#assembly.since;
  }

  onReadError(code: number, message: string): void {
    this.connectionError(code, message);
  }

  onFrame(type: number, flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#assembly.id !== 0) {
      const other = type !== frameType.continuation || id !== this.#assembly.id;
      if (this.broken(other, errorCode.protocol, "a header block was interrupted")) return;
      this.#onContinuation(flags, buffer, start, end);
      return;
    }
    if (!this.settingsReceived) {
      const other = type !== frameType.settings || (flags & flag.ack) !== 0;
      if (this.broken(other, errorCode.protocol, "the first frame is not SETTINGS")) return;
    }
    switch (type) {
      case frameType.headers:
        this.#onHeaders(flags, id, buffer, start, end);
        return;
      case frameType.priority:
        this.#onPriority(id, buffer, start, length);
        return;
      case frameType.rstStream:
        this.#onRstStream(id, buffer, start, length);
        return;
      case frameType.settings:
        this.#onSettingsFrame(flags, id, buffer, start, end);
        return;
      case frameType.ping:
        this.#onPing(flags, id, buffer, start, length);
        return;
      case frameType.goaway:
        if (this.broken(id !== 0, errorCode.protocol, "GOAWAY on a stream")) return;
        if (this.broken(length < 8, errorCode.frameSize, "GOAWAY of the wrong size")) return;
        if (!this.spend(spent.settings)) return;
        this.onGoaway(readUint32(buffer, start) & 0x7fffffff, readUint32(buffer, start + 4));
        return;
      case frameType.windowUpdate:
        this.#onWindowUpdate(id, buffer, start, length);
        return;
      case frameType.pushPromise:
        // We are a server, or a client that said ENABLE_PUSH=0.
        this.connectionError(errorCode.protocol, "PUSH_PROMISE");
        return;
      case frameType.continuation:
        this.connectionError(errorCode.protocol, "CONTINUATION without HEADERS");
        return;
      default:
        this.spend(spent.unknownFrame);
    }
  }

  // DATA

  onDataStart(id: number, flags: number, length: number): void {
    this.#dataStream = null;
    this.#dataFlags = flags;
    this.#dataLength = length;
    if (this.broken(this.#assembly.id !== 0, errorCode.protocol, "a header block was interrupted")) return;
    if (this.broken(!this.settingsReceived, errorCode.protocol, "the first frame is not SETTINGS")) return;
    if (this.broken(id === 0 || this.isIdle(id), errorCode.protocol, "DATA on an idle stream")) return;
    this.#recvWindow -= length;
    if (this.broken(this.#recvWindow < 0, errorCode.flowControl, "the connection's window is exceeded")) return;
    if (length === 0 && (flags & flag.endStream) === 0 && !this.spend(spent.emptyFrame)) return;
    const stream = this.streams.get(id);
    if (stream === null) this.#onStray(id);
    else if (stream.remoteDone) this.streamError(stream, errorCode.streamClosed, "DATA after END_STREAM");
    else {
      stream.recvWindow -= length;
      if (stream.recvWindow < 0) this.streamError(stream, errorCode.flowControl, "the stream's window is exceeded");
      else this.#dataStream = stream;
    }
  }

  onDataPiece(buffer: Buffer, start: number, end: number): void {
    const stream = this.#dataStream;
    if (stream !== null && !stream.closed) stream.receive(buffer, start, end);
  }

  onDataEnd(padding: number): void {
    this.#recvSpent += this.#dataLength;
    this.#grant();
    const stream = this.#dataStream;
    this.#dataStream = null;
    if (stream === null || stream.closed) return;
    const end = (this.#dataFlags & flag.endStream) !== 0;
    if (padding > 0) {
      if (padding === this.#dataLength && !end && !this.spend(spent.emptyFrame)) return;
      stream.consumed(padding);
    }
    if (end) stream.receiveEnd(null);
  }

  /** The connection's window does not wait for paused streams, unless they hold more than they may together. */
  #grant(): void {
    if (this.#recvSpent < this.config.connectionWindowBytes >>> 1 || this.closed) return;
    if (this.bufferedBytes > this.config.maxBufferedBytes) return;
    this.#recvWindow += this.#recvSpent;
    this.sender.windowUpdate(0, this.#recvSpent);
    this.#recvSpent = 0;
  }

  /** Bytes that waited in a stream were taken. */
  unbuffered(bytes: number): void {
    this.bufferedBytes -= bytes;
    this.#grant();
  }

  /** DATA for a stream that is gone: expected for a while after we reset it, else answered once (section 5.1). */
  #onStray(id: number): void {
    if (!this.spend(spent.closedStream) || this.resets.has(id)) return;
    this.refuse(id, errorCode.streamClosed);
  }

  // Heads

  #onHeaders(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (this.broken(id === 0, errorCode.protocol, "HEADERS on stream 0")) return;
    let padding = 0;
    if ((flags & flag.padded) !== 0) {
      if (this.broken(start === end, errorCode.frameSize, "a padded frame has no pad length")) return;
      padding = buffer[start]!;
      start += 1;
    }
    let dependsOnItself = false;
    if ((flags & flag.priority) !== 0) {
      if (this.broken(end - start < 5, errorCode.frameSize, "HEADERS too short for its priority")) return;
      dependsOnItself = (readUint32(buffer, start) & 0x7fffffff) === id;
      start += 5;
    }
    if (this.broken(padding > end - start, errorCode.protocol, "a frame has more padding than payload")) return;
    end -= padding;
    if ((flags & flag.endHeaders) === 0) {
      this.#assembly.begin(id, flags, dependsOnItself, this.clockMs);
      this.#collect(buffer, start, end);
    } else this.#onBlock(id, flags, dependsOnItself, buffer, start, end);
  }

  #onContinuation(flags: number, buffer: Buffer, start: number, end: number): void {
    if (!this.#collect(buffer, start, end) || (flags & flag.endHeaders) === 0) return;
    const { id, flags: headFlags, dependsOnItself } = this.#assembly;
    const whole = this.#assembly.take();
    this.#onBlock(id, headFlags, dependsOnItself, whole, 0, whole.length);
  }

  #collect(buffer: Buffer, start: number, end: number): boolean {
    if (this.#assembly.add(buffer, start, end)) return true;
    this.defend("continuation-flood");
    return false;
  }

  #onBlock(id: number, flags: number, dependsOnItself: boolean, buffer: Buffer, start: number, end: number): void {
    const stream = this.streams.get(id);
    const role = this.roleOfBlock(stream);
    const block = role === blockRole.trailers ? this.#trailersBlock() : this.#heads;
    this.block = block;
    const decoder = this.#decoder;
    const { generation } = decoder;
    if (!block.repeats(role, buffer, start, end, generation)) {
      block.begin(role);
      const decoded = decoder.decode(buffer, start, end, block);
      if (this.broken(!decoded, errorCode.compression, "a header block can't be decoded")) return;
      if (decoder.generation === generation) block.remember(buffer, start, end, generation);
    }
    if (dependsOnItself) block.fault ??= "a stream depends on itself";
    const last = (flags & flag.endStream) !== 0;
    if (start === end && !last && !this.spend(spent.emptyFrame)) return;
    if (stream === null) this.onNewHead(id, last);
    else if (stream.remoteDone) this.streamError(stream, errorCode.streamClosed, "HEADERS after END_STREAM");
    else if (block.tooLong !== "") {
      this.config.onProtection(block.tooLong);
      const error = new ExchangeError(
        "SELVAGE_ERR_TOO_LARGE",
        "the peer sent a larger head than we take",
        responseTooLarge,
      );
      this.resetFor(stream, errorCode.enhanceYourCalm, error);
    } else if (block.fault !== null) this.streamError(stream, errorCode.protocol, block.fault);
    else stream.onBlock(last);
    block.clear();
  }

  #trailersBlock(): HeaderBlock {
    this.#trailers ??= new HeaderBlock(this.config.maxHeaderListBytes, this.config.maxHeaderListPairs);
    return this.#trailers;
  }

  /** HEADERS for a stream that is gone. They were decoded, and that is all they get. */
  protected stray(): void {
    this.spend(spent.closedStream);
  }

  // The other frames

  #onPriority(id: number, buffer: Buffer, start: number, length: number): void {
    if (this.broken(id === 0, errorCode.protocol, "PRIORITY on stream 0")) return;
    if (!this.spend(spent.priority)) return;
    let fault: number = errorCode.none;
    if (length !== 5) fault = errorCode.frameSize;
    else if ((readUint32(buffer, start) & 0x7fffffff) === id) fault = errorCode.protocol;
    if (fault === errorCode.none) return;
    const stream = this.streams.get(id);
    if (stream !== null) this.streamError(stream, fault, "PRIORITY is broken");
    else this.refuse(id, fault);
  }

  #onRstStream(id: number, buffer: Buffer, start: number, length: number): void {
    if (this.broken(length !== 4, errorCode.frameSize, "RST_STREAM of the wrong size")) return;
    if (this.broken(id === 0 || this.isIdle(id), errorCode.protocol, "RST_STREAM on an idle stream")) return;
    const stream = this.streams.get(id);
    if (stream === null) this.spend(spent.closedStream);
    else if (this.spend(spent.reset)) stream.onReset(readUint32(buffer, start));
  }

  #onSettingsFrame(flags: number, id: number, buffer: Buffer, start: number, end: number): void {
    if (this.broken(id !== 0, errorCode.protocol, "SETTINGS on a stream")) return;
    if (!this.spend(spent.settings)) return;
    if ((flags & flag.ack) !== 0) {
      if (!this.broken(start !== end, errorCode.frameSize, "SETTINGS of the wrong size")) this.settingsAcked = true;
      return;
    }
    if (this.broken((end - start) % 6 !== 0, errorCode.frameSize, "SETTINGS of the wrong size")) return;
    const { peer, sender } = this;
    const window = peer.initialWindow;
    const fault = peer.apply(buffer, start, end);
    if (this.broken(fault !== errorCode.none, fault, "SETTINGS has a value that is not allowed")) return;
    sender.encoder.setPeerLimit(peer.headerTableBytes);
    sender.setMaxFrame(peer.maxFrameBytes);
    sender.maxHeaderListBytes = peer.maxHeaderListBytes;
    sender.initialWindow = peer.initialWindow;
    sender.settingsAck();
    // Section 6.9.2: windows that are open change by the difference, and may fall below zero.
    if (peer.initialWindow !== window) this.streams.forEach(widenBy, peer.initialWindow - window);
    if (this.closed) return;
    this.settingsReceived = true;
    this.onSettings();
    sender.pump();
  }

  #onPing(flags: number, id: number, buffer: Buffer, start: number, length: number): void {
    if (this.broken(id !== 0, errorCode.protocol, "PING on a stream")) return;
    if (this.broken(length !== 8, errorCode.frameSize, "PING of the wrong size")) return;
    // gRPC measures bandwidth with a PING for the DATA it gets.
    this.budget.earn(spent.ping, this.sender.dataFrames - this.#pingFramesEarned);
    this.#pingFramesEarned = this.sender.dataFrames;
    if (!this.spend(spent.ping)) return;
    if ((flags & flag.ack) === 0) this.sender.ping(flag.ack, buffer, start);
    else if (buffer[start + 7] !== keepAlivePing[7]) this.onDrainPing();
  }

  #onWindowUpdate(id: number, buffer: Buffer, start: number, length: number): void {
    if (this.broken(length !== 4, errorCode.frameSize, "WINDOW_UPDATE of the wrong size")) return;
    const { sender } = this;
    // Some peers grant each read by itself, for the stream and for the connection.
    this.budget.earn(spent.windowUpdate, (sender.dataFrames - this.#dataFramesEarned) * 16);
    this.#dataFramesEarned = sender.dataFrames;
    if (!this.spend(spent.windowUpdate)) return;
    const bytes = readUint32(buffer, start) & maxWindow;
    if (id === 0) {
      if (this.broken(bytes === 0, errorCode.protocol, "WINDOW_UPDATE of nothing")) return;
      if (this.broken(!sender.widen(bytes), errorCode.flowControl, "a window beyond 2^31-1")) return;
    } else {
      if (this.broken(this.isIdle(id), errorCode.protocol, "WINDOW_UPDATE on an idle stream")) return;
      const stream = this.streams.get(id);
      if (stream === null) this.spend(spent.closedStream);
      else if (bytes === 0) this.streamError(stream, errorCode.protocol, "WINDOW_UPDATE of nothing");
      else if (!stream.widen(bytes)) this.streamError(stream, errorCode.flowControl, "a window beyond 2^31-1");
    }
    sender.pump();
  }
}

function widenBy(stream: Stream, bytes: number): void {
  if (!stream.widen(bytes)) stream.session.connectionError(errorCode.flowControl, "a window beyond 2^31-1");
}
