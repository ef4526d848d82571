import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { readSocket } from "../lent-reads.js";
import { FloodBudget, spent } from "./flood-budget.js";
import { errorCode, errorCodeName } from "./frame.js";
import { KeepAlive, keepAlivePing } from "./keep-alive.js";
import type { Http2Config, Protection } from "./limits.js";
import type { OutputOwner } from "./output.js";
import { RecentIds } from "./recent-ids.js";
import { Sender } from "./sender.js";
import type { Stream } from "./stream.js";
import { StreamTable } from "./stream-table.js";

const tickMs = 1_000;
/** After GOAWAY: time for it to arrive before the socket goes. */
const lingerMs = 1_000;
/** What we read and throw away while lingering, so that GOAWAY isn't lost to a reset. */
const lingerBytes = 1_048_576;
/** The most that waits for a peer that asks without reading; well above one large head for each stream. */
const maxOutputBytes = 33_554_432;

/**
 * A session's life: its socket, its streams, its errors and its end, and the clock that watches over them. Time is coarse:
 * it advances once a second, and by at most two seconds, since a process that was busy for longer must not blame its peers.
 */
export abstract class SessionLife implements OutputOwner {
  readonly socket: Duplex;
  readonly config: Http2Config;
  readonly sender: Sender;
  readonly streams = new StreamTable<Stream>();
  readonly budget = new FloodBudget();
  /** What is read is overwritten by the next read: bodies are copied. */
  readonly lent: boolean;
  clockMs = 0;
  /** Takes no new streams. */
  draining = false;
  /** It is over: nothing is read any more, and nothing written but GOAWAY. */
  closed = false;

  protected readonly resets = new RecentIds();
  /** The highest stream the peer opened. */
  protected lastPeerId = 0;
  protected settingsReceived = false;
  protected settingsAcked = false;
  /** Inside of what the socket gave at once. */
  protected reading = false;

  readonly #keepAlive: KeepAlive;
  readonly #timer: unknown;
  #lastTick: number;
  #writeSince = -1;
  #writeBatch = 0;
  #endAt = -1;
  #ended = false;
  #lingered = 0;
  #gone = false;

  constructor(socket: Duplex, config: Http2Config) {
    this.socket = socket;
    this.config = config;
    this.sender = new Sender(socket, this);
    this.#keepAlive = new KeepAlive(config);
    this.#lastTick = config.now();
    this.#timer = config.ticker.set(() => this.#tick(), tickMs);
    if (socket instanceof Socket) socket.setNoDelay(true);
    this.lent = readSocket(socket, (chunk) => this.#read(chunk));
    socket.on("end", () => this.#onSocketEnd(null));
    socket.on("error", (error: Error) => this.#onSocketEnd(error));
    socket.on("close", () => this.#onSocketClose());
    if (socket.destroyed) setImmediate(() => this.#onSocketClose());
  }

  /** Streams that count against the limit of concurrency. */
  abstract readonly active: number;
  /** Called when streams may have ended, after whatever ended them is done. */
  abstract settle(): void;
  protected abstract onBytes(chunk: Buffer): void;
  /** No frame may be read from here on. */
  protected abstract stopReading(): void;
  /** The session's clock when the header block began that is not complete; -1 when there is none. */
  protected abstract readonly headerSince: number;
  /** The session is over; its streams have been told. */
  protected abstract onEnd(error: ExchangeError | null): void;
  protected abstract onSocketGone(): void;
  protected abstract onTick(): void;

  #read(chunk: Buffer): void {
    if (this.closed) {
      this.#lingered += chunk.length;
      if (this.#lingered > lingerBytes) this.socket.destroy();
      return;
    }
    this.#keepAlive.heard();
    this.reading = true;
    this.onBytes(chunk);
    this.reading = false;
    if (this.closed) return;
    if (this.sender.output.bytes > maxOutputBytes) this.defend("output-overflow");
    else this.settle();
  }

  onWritten(): void {
    if (this.closed) {
      this.#endIfWritten();
      return;
    }
    this.sender.pump();
    this.settle();
  }

  /** A stream left. */
  forget(stream: Stream): void {
    this.streams.remove(stream);
    if (!this.reading && !this.closed) this.settle();
  }

  // Errors

  /** Takes one from a budget; when it is used up the connection ends. */
  protected spend(kind: number): boolean {
    const reason = this.budget.spend(kind);
    if (reason === null) return true;
    this.defend(reason);
    return false;
  }

  /** Ends the connection of a peer that is after something. */
  defend(reason: Protection): void {
    if (this.closed) return;
    this.config.onProtection(reason);
    this.connectionError(errorCode.enhanceYourCalm, reason);
  }

  /** A stream error (section 5.4.2) that the peer caused. */
  streamError(stream: Stream, code: number, message: string): void {
    this.resetFor(stream, code, transportError("SELVAGE_ERR_PROTOCOL", `the peer broke HTTP/2: ${message}`));
  }

  /** RST_STREAM that the peer caused, with what to tell those above. */
  protected resetFor(stream: Stream, code: number, error: ExchangeError): void {
    if (!this.spend(spent.localReset)) return;
    this.reset(stream, code);
    stream.onLost(error);
  }

  /** RST_STREAM for a stream that never came into being. */
  protected refuse(id: number, code: number, kind: number = spent.localReset): void {
    if (!this.spend(kind)) return;
    this.resets.add(id);
    this.sender.reset(id, code);
  }

  /** Sends RST_STREAM and closes the stream. */
  reset(stream: Stream, code: number): void {
    if (stream.closed) return;
    if (!stream.remoteDone) this.resets.add(stream.id);
    this.sender.reset(stream.id, code);
    stream.close();
  }

  /** A connection error (section 5.4.1) that the peer caused. */
  connectionError(code: number, message: string): void {
    this.end(
      code,
      transportError("SELVAGE_ERR_PROTOCOL", `the peer broke HTTP/2: ${message} (${errorCodeName(code)})`),
    );
  }

  /** Checks a rule whose breach ends the connection. */
  protected broken(breach: boolean, code: number, message: string): boolean {
    if (breach) this.connectionError(code, message);
    return breach;
  }

  // The end

  /** Says GOAWAY, tells the streams, and closes the socket once that is written. */
  protected end(code: number, error: ExchangeError | null): void {
    if (this.closed) return;
    this.sender.goaway(this.lastPeerId, code);
    this.#close(error);
    this.sender.output.flush();
    this.#endAt = this.clockMs + lingerMs;
    this.#endIfWritten();
  }

  /** Ends at once, without GOAWAY. */
  protected cut(error: ExchangeError | null): void {
    // First, so that streams can tell whether their heads have left.
    this.sender.output.close();
    if (!this.closed) this.#close(error);
    this.socket.destroy();
  }

  #close(error: ExchangeError | null): void {
    this.closed = true;
    this.draining = true;
    this.stopReading();
    const reason = error ?? transportError("SELVAGE_ERR_CLOSED", "the session was closed", "local");
    this.streams.forEach(lose, reason);
    this.onEnd(error);
  }

  #endIfWritten(): void {
    if (this.#ended || !this.sender.output.idle) return;
    this.#ended = true;
    // What the peer still sends has to be read, or its end is never seen.
    this.socket.resume();
    this.socket.end();
  }

  #onSocketEnd(cause: Error | null): void {
    if (this.closed) {
      this.socket.destroy();
      return;
    }
    const message = cause === null ? "the peer closed the connection" : `the connection failed: ${cause.message}`;
    this.cut(transportError("SELVAGE_ERR_CLOSED", message, "peer", "processed", cause ?? undefined));
  }

  #onSocketClose(): void {
    if (this.#gone) return;
    this.#gone = true;
    if (!this.closed) this.#onSocketEnd(null);
    this.config.ticker.clear(this.#timer);
    this.sender.output.close();
    this.onSocketGone();
  }

  // Time

  #tick(): void {
    const now = this.config.now();
    const elapsedMs = Math.min(now - this.#lastTick, 2 * tickMs);
    this.#lastTick = now;
    this.clockMs += elapsedMs;
    if (this.closed) {
      if (this.#endAt >= 0 && this.clockMs >= this.#endAt) this.socket.destroy();
      return;
    }
    this.budget.refill(elapsedMs);
    this.#watch();
    if (!this.closed) this.onTick();
  }

  #watch(): void {
    const { config, clockMs } = this;
    if ((!this.settingsReceived || !this.settingsAcked) && clockMs >= config.settingsTimeoutMs) {
      this.#timeout("settings-timeout", errorCode.settingsTimeout);
      return;
    }
    if (this.headerSince >= 0 && clockMs - this.headerSince >= config.headerTimeoutMs) {
      this.defend("slow-headers");
      return;
    }
    if (this.#writeStalls()) {
      config.onProtection("write-stall");
      this.cut(transportError("SELVAGE_ERR_TIMEOUT", "the peer does not read"));
      return;
    }
    this.streams.forEach(watchStall, this);
    if (this.closed) return;
    const verdict = this.#keepAlive.check(clockMs, this.active > 0);
    if (verdict === "ping") this.sender.ping(0, keepAlivePing, 0);
    else if (verdict === "dead") this.#timeout("keep-alive-timeout", errorCode.none);
  }

  #writeStalls(): boolean {
    const output = this.sender.output;
    if (!output.writing) this.#writeSince = -1;
    else if (this.#writeSince < 0 || this.#writeBatch !== output.sentBatch) {
      this.#writeSince = this.clockMs;
      this.#writeBatch = output.sentBatch;
    } else return this.clockMs - this.#writeSince >= this.config.writeTimeoutMs;
    return false;
  }

  #timeout(reason: Protection, code: number): void {
    this.config.onProtection(reason);
    this.end(code, transportError("SELVAGE_ERR_TIMEOUT", `the peer did not answer in time (${reason})`));
  }

  /** Resets a stream whose peer has kept it waiting for too long. */
  watchStall(stream: Stream): void {
    if (stream.closed || stream.stalledFor(this.clockMs) < this.config.stallTimeoutMs) return;
    this.config.onProtection("stalled-stream");
    this.reset(stream, errorCode.cancel);
    stream.onLost(transportError("SELVAGE_ERR_TIMEOUT", "the peer takes no data on the stream"));
  }
}

function lose(stream: Stream, error: ExchangeError): void {
  stream.close();
  stream.onLost(error);
}

function watchStall(stream: Stream, session: SessionLife): void {
  session.watchStall(stream);
}
