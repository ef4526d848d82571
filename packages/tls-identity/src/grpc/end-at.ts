import type { TLSSocket } from "node:tls";

const marginMs = 200;
// A step of the wall clock is noticed after this long.
const checkMs = 30_000;

/** Calls `end` just before `epochMs`, at most once, unless the socket is closed before that. Keeps no process alive. */
export function endAt(socket: TLSSocket, epochMs: number, end: () => void): void {
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const left = epochMs - marginMs - Date.now();
    if (left <= 0) {
      end();
      return;
    }
    timer = setTimeout(look, Math.min(left, checkMs));
    timer.unref();
  };
  look();
  socket.once("close", () => clearTimeout(timer));
}
