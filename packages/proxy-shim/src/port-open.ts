import { connect } from "node:net";

/** Whether something accepts TCP connections there now. */
export function portOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
    socket.setTimeout(1_000, () => answer(false));
  });
}

/** Resolves when something accepts connections there; looks every 50 ms, for as long as `wanted` says so. */
export async function portOpened(host: string, port: number, wanted: () => boolean): Promise<boolean> {
  while (wanted()) {
    if (await portOpen(host, port)) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}
