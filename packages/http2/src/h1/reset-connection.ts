import type { Duplex } from "node:stream";

/** A reset, where there can be one: a body that ends with the connection looks complete when that ends in good order. */
export function resetConnection(socket: Duplex): void {
  const { resetAndDestroy } = socket as Partial<{ resetAndDestroy: () => void }>;
  if (resetAndDestroy !== undefined && (socket as { encrypted?: boolean }).encrypted !== true)
    resetAndDestroy.call(socket);
  socket.destroy();
}
