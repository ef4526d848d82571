import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { Connect } from "./connect.js";

/**
 * The two ways to connect to a peer that says in the TLS handshake what it speaks. As long as that isn't known, HTTP/2 is
 * hoped for. The first connection that turns out to be HTTP/1 is kept for the pool that can use it, and `onHttp1` called.
 */
export class AlpnConnects {
  readonly http1: Connect;
  readonly http2: Connect;
  #kept: { readonly socket: Duplex; readonly expiresAt: number } | null = null;

  constructor(both: Connect, http1Only: Connect, onHttp1: () => void) {
    this.http1 = (callback) => this.#takeKept(callback) ?? http1Only(callback);
    this.http2 = (callback) => {
      let over = false;
      const cancel = both((error, socket, expiresAt) => {
        over = true;
        if (socket === null || (socket as TLSSocket).alpnProtocol === "h2") {
          callback(error, socket, expiresAt);
        } else {
          this.#kept = { socket, expiresAt };
          onHttp1();
          // Nobody wanted it any more.
          this.#kept?.socket.destroy();
          this.#kept = null;
        }
      });
      // The pool for HTTP/2 never hears of a connection that isn't its own, and cancels; it belongs to the other by then.
      return () => {
        if (!over) cancel();
      };
    };
  }

  #takeKept(callback: Parameters<Connect>[0]): (() => void) | null {
    const kept = this.#kept;
    if (kept === null) return null;
    this.#kept = null;
    if (kept.socket.destroyed) return null;
    let cancelled = false;
    // As with any connection, not from inside: the caller has no function to cancel by yet.
    queueMicrotask(() => {
      if (!cancelled) callback(null, kept.socket, kept.expiresAt);
    });
    return () => {
      cancelled = true;
      kept.socket.destroy();
    };
  }
}
