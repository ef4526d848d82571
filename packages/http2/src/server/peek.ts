import type { Duplex } from "node:stream";

/**
 * Looks at the first bytes of a stream. `look` gets everything that came so far, again with each arrival, until it calls
 * `stop`, after which the bytes are back in the stream for whoever reads next. `null`: the stream ended first.
 *
 * Bytes are held here, not put back, while undecided: `unshift` makes the stream readable again and would spin. And it must
 * be 'readable', because node:http hangs on a socket that was read by 'data' and paused.
 */
export class Peek {
  readonly #socket: Duplex;
  readonly #look: (bytes: Buffer | null) => void;
  readonly #onReadable = () => this.#read();
  readonly #onEnd = () => this.#end();
  #held: Buffer | null = null;

  constructor(socket: Duplex, look: (bytes: Buffer | null) => void) {
    this.#socket = socket;
    this.#look = look;
    socket.on("readable", this.#onReadable);
    socket.once("end", this.#onEnd);
  }

  /** Stops looking and puts the bytes back. */
  stop(): void {
    this.#socket.off("readable", this.#onReadable);
    this.#socket.off("end", this.#onEnd);
    const held = this.#held;
    this.#held = null;
    if (held !== null && !this.#socket.destroyed && !this.#socket.readableEnded) this.#socket.unshift(held);
  }

  /** -1 when nothing came yet. */
  get firstByte(): number {
    return this.#held?.[0] ?? -1;
  }

  #read(): void {
    const chunk: Buffer | null = this.#socket.read();
    if (chunk === null) return;
    this.#held = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    this.#look(this.#held);
  }

  #end(): void {
    this.#look(null);
  }
}
