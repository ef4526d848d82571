import type { EventEmitter } from "node:events";
import { sharedTimeouts, Timed } from "./timeouts.js";

/** The idle timeout of something that stands in for a socket: emits 'timeout' on it, as net.Socket does. */
export class SocketTimeout extends Timed {
  readonly #socket: EventEmitter;
  durationMs = 0;

  constructor(socket: EventEmitter) {
    super();
    this.#socket = socket;
  }

  /** `callback` is added as a listener, or taken away when the duration is 0, as `net.Socket.setTimeout` does. */
  set(durationMs: number, callback?: () => void): void {
    this.durationMs = durationMs;
    sharedTimeouts.start(this, durationMs);
    if (callback === undefined) return;
    if (durationMs === 0) this.#socket.removeListener("timeout", callback);
    else this.#socket.once("timeout", callback);
  }

  /** Something happened on the socket. */
  refresh(): void {
    if (this.timedQueue !== null) sharedTimeouts.refresh(this);
    else if (this.durationMs > 0) sharedTimeouts.start(this, this.durationMs);
  }

  clear(): void {
    this.durationMs = 0;
    sharedTimeouts.stop(this);
  }

  override onTimeout(): void {
    this.#socket.emit("timeout");
  }
}
