import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import { errorCode, flag, frameType, preface, readUint32, writeFrameHeader } from "./frame.js";
import { FrameReader } from "./frame-reader.js";
import { HpackDecoder } from "./hpack-decoder.js";
import type { Ticker } from "./shared-ticker.js";

export interface Frame {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

/** Two streams back to back, in memory. What one side writes is read by the other in a later turn. */
export function duplexPair(): [Duplex, Duplex] {
  const sides: Duplex[] = [];
  for (const other of [1, 0]) {
    sides.push(
      new Duplex({
        allowHalfOpen: true,
        read() {},
        write(chunk, _encoding, done) {
          const bytes = Buffer.from(chunk);
          setImmediate(() => {
            if (!sides[other]!.destroyed) sides[other]!.push(bytes);
            done();
          });
        },
        final(done) {
          setImmediate(() => {
            if (!sides[other]!.destroyed) sides[other]!.push(null);
            done();
          });
        },
        destroy(_error, done) {
          setImmediate(() => {
            if (!sides[other]!.destroyed) sides[other]!.destroy();
          });
          done(null);
        },
      }),
    );
    sides.at(-1)!.on("error", () => {});
  }
  return [sides[0]!, sides[1]!];
}

/** A peer that says exactly what it is told to say, byte by byte, and collects the frames that come back. */
export class RawPeer {
  readonly frames: Frame[] = [];
  ended = false;
  readonly #socket: Duplex;
  readonly #changes = new EventEmitter();
  readonly #decoder = new HpackDecoder(4096);

  constructor(socket: Duplex, peerIsClient = false) {
    this.#socket = socket;
    this.#changes.setMaxListeners(0);
    let data: Frame | null = null;
    const note = () => this.#changes.emit("change");
    const reader = new FrameReader(
      {
        onFrame: (type, flags, id, buffer, start, end) => {
          this.frames.push({ type, flags, id, payload: Buffer.from(buffer.subarray(start, end)) });
        },
        onDataStart: (id, flags) => {
          data = { type: frameType.data, flags, id, payload: Buffer.alloc(0) };
        },
        onDataPiece: (buffer, start, end) => {
          data!.payload = Buffer.concat([data!.payload, buffer.subarray(start, end)]);
        },
        onDataEnd: () => {
          this.frames.push(data!);
        },
        onReadError: (_code, message) => {
          throw new Error(message);
        },
      },
      16_777_215,
      peerIsClient,
    );
    socket.on("data", (chunk: Buffer) => {
      reader.read(chunk);
      note();
    });
    for (const event of ["end", "close"]) {
      socket.on(event, () => {
        this.ended = true;
        note();
      });
    }
    socket.on("error", () => {});
  }

  write(...parts: Uint8Array[]): this {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(parts));
    return this;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Preface and SETTINGS of a client. */
  greet(): this {
    return this.write(preface, frame(frameType.settings, 0, 0), frame(frameType.settings, flag.ack, 0));
  }

  /** SETTINGS of a server. */
  greetAsServer(...pairs: number[]): this {
    return this.write(settings(...pairs), frame(frameType.settings, flag.ack, 0));
  }

  async until(test: (peer: this) => boolean): Promise<this> {
    while (!test(this)) {
      if (this.ended) throw new Error(`the connection ended; got ${this.summary()}`);
      await new Promise((resolve) => this.#changes.once("change", resolve));
    }
    return this;
  }

  async untilEnded(): Promise<this> {
    while (!this.ended) await new Promise((resolve) => this.#changes.once("change", resolve));
    return this;
  }

  /** Waits until the other side has handled all that was written. */
  async settled(): Promise<this> {
    const mark = Buffer.from(`mark${this.#marks++}`.padEnd(8).slice(0, 8));
    this.write(frame(frameType.ping, 0, 0, mark));
    return this.until(() => this.frames.some((one) => one.type === frameType.ping && one.payload.equals(mark)));
  }
  #marks = 0;

  of(type: number, id?: number): Frame[] {
    return this.frames.filter((one) => one.type === type && (id === undefined || one.id === id));
  }

  /** The code of the GOAWAY that came, or of the RST_STREAM for a stream. */
  get goaway(): number | undefined {
    const last = this.of(frameType.goaway).at(-1);
    return last === undefined ? undefined : readUint32(last.payload, 4);
  }

  reset(id: number): number | undefined {
    const last = this.of(frameType.rstStream, id).at(-1);
    return last === undefined ? undefined : readUint32(last.payload, 0);
  }

  /** Decodes a head; call it for every head, in order. */
  head(one: Frame): Record<string, string> {
    const fields: Record<string, string> = Object.create(null);
    const sink = {
      field(name: { text: string }, value: string) {
        fields[name.text] = value;
      },
    };
    if (!this.#decoder.decode(one.payload, 0, one.payload.length, sink)) throw new Error("a broken head");
    return fields;
  }

  summary(): string {
    return this.frames.map((one) => `${one.type}/${one.flags}@${one.id}`).join(" ");
  }
}

export function frame(type: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  writeFrameHeader(head, 0, payload.length, type, flags, id);
  return Buffer.concat([head, payload]);
}

export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function settings(...pairs: number[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 3);
  for (let at = 0; at < pairs.length; at += 2) {
    payload.writeUInt16BE(pairs[at]!, at * 3);
    payload.writeUInt32BE(pairs[at + 1]!, at * 3 + 2);
  }
  return frame(frameType.settings, 0, 0, payload);
}

/** A header block of plain literals, whatever is in them. */
export function literals(...fields: string[]): Buffer {
  return Buffer.concat(
    fields.map((text, at) => {
      const bytes = Buffer.from(text, "latin1");
      return Buffer.concat([at % 2 === 0 ? Buffer.from([0]) : Buffer.alloc(0), integer(bytes.length), bytes]);
    }),
  );
}

function integer(value: number): Buffer {
  if (value < 0x7f) return Buffer.from([value]);
  const bytes = [0x7f];
  for (value -= 0x7f; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  bytes.push(value);
  return Buffer.from(bytes);
}

export const get = [":method", "GET", ":scheme", "http", ":authority", "shop.test", ":path", "/"];
export const post = [":method", "POST", ":scheme", "http", ":authority", "shop.test", ":path", "/"];

export const endHead = flag.endHeaders;
export const endAll = flag.endHeaders | flag.endStream;

export function headers(id: number, fields: string[], flags: number = endAll): Buffer {
  return frame(frameType.headers, flags, id, literals(...fields));
}

export function data(id: number, payload: Uint8Array | string, flags = 0): Buffer {
  return frame(frameType.data, flags, id, typeof payload === "string" ? Buffer.from(payload) : payload);
}

export function rst(id: number, code: number = errorCode.cancel): Buffer {
  return frame(frameType.rstStream, 0, id, word(code));
}

export function windowUpdate(id: number, bytes: number): Buffer {
  return frame(frameType.windowUpdate, 0, id, word(bytes));
}

/** Time that only moves when told to. */
export class HandTicker implements Ticker {
  nowMs = 0;
  readonly #ticks = new Set<() => void>();

  readonly now = (): number => this.nowMs;

  set(tick: () => void): unknown {
    this.#ticks.add(tick);
    return tick;
  }

  clear(handle: unknown): void {
    this.#ticks.delete(handle as () => void);
  }

  get running(): number {
    return this.#ticks.size;
  }

  /** Lets time pass second by second. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 1_000) {
      this.nowMs += Math.min(left, 1_000);
      for (const tick of [...this.#ticks]) tick();
    }
  }
}
