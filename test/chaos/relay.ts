import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * What a relay does: passes bytes on; resets connections as soon as they have brought something; or is gone: what is open stays open, and
 * nothing passes or is told to anybody.
 */
export type RelayMode = "passes" | "resets" | "is gone";

/** A TCP relay in front of a replica, in which the network's faults are. */
export class Relay {
  readonly #sockets = new Set<Socket>();
  readonly #server;
  #mode: RelayMode = "passes";
  /** Connections that were reset. */
  resets = 0;

  private constructor(address: string) {
    const [host, port] = address.split(":") as [string, string];
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect({ host, port: Number(port), noDelay: true });
      this.#pass(near, far);
      this.#pass(far, near);
    });
  }

  static async before({ address }: { readonly address: string }): Promise<Relay> {
    const relay = new Relay(address);
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  set mode(mode: RelayMode) {
    this.#mode = mode;
    if (mode === "is gone") return;
    for (const socket of this.#sockets) {
      // A host that comes back after its connections were forgotten answers with a reset.
      this.#reset(socket);
    }
  }

  /** Resets what is open, again and again, until it is told to stop. */
  storm(everyMs: number): () => void {
    const timer = setInterval(() => {
      for (const socket of this.#sockets) this.#reset(socket);
    }, everyMs);
    return () => clearInterval(timer);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.on("error", () => {});
    from.on("data", (chunk: Buffer) => {
      if (this.#mode === "passes") to.write(chunk);
      else if (this.#mode === "resets") this.#reset(from);
    });
    from.on("end", () => this.#mode === "passes" && to.end());
    from.on("close", () => {
      this.#sockets.delete(from);
      if (this.#mode !== "is gone") to.destroy();
    });
  }

  #reset(socket: Socket): void {
    if (socket.destroyed) return;
    this.resets++;
    socket.resetAndDestroy();
  }
}
