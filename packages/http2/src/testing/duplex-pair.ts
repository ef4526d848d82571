import { Duplex } from "node:stream";

class PairEnd extends Duplex {
  other: PairEnd | null = null;
  #written: ((error?: Error | null) => void) | null = null;

  override _read(): void {
    const written = this.#written;
    this.#written = null;
    written?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const other = this.other;
    if (other === null || other.destroyed) {
      done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" }));
      return;
    }
    // A copy, as a kernel makes one: the writer may use its memory again when it is called back.
    if (other.push(Buffer.from(chunk))) process.nextTick(done);
    else other.#written = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.other?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { other } = this;
    this.other = null;
    if (other !== null && !other.destroyed) {
      process.nextTick(() => {
        // A clean end was seen already; anything else is a reset.
        if (error === null && this.writableFinished) other.push(null);
        else other.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" }));
      });
    }
    done(error);
  }
}

/** Two streams in memory, each the other's far end, with back pressure. Destroying one resets the other. */
export function duplexPair(): [Duplex, Duplex] {
  const a = new PairEnd({ allowHalfOpen: true });
  const b = new PairEnd({ allowHalfOpen: true });
  a.other = b;
  b.other = a;
  // As sockets of the engine: a reset that nobody listens for must not end the process.
  a.on("error", () => {});
  b.on("error", () => {});
  return [a, b];
}
