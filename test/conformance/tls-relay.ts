import { connect, createServer, type Socket } from "node:net";
import { listen } from "./meshed-ends.js";

/** A connection that went through a relay. */
export interface RelayedConnection {
  readonly openedAt: number;
  /** Null while it is open. */
  closedAt: number | null;
  /** As the server chose it: 0x0304 is TLS 1.3. Null: no TLS, or none yet. */
  version: number | null;
}

/** Passes bytes on to an address, and notes of each connection how long it lived and which TLS was negotiated. */
export class TlsRelay {
  readonly connections: RelayedConnection[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server;

  constructor(address: string) {
    const [host, port] = address.split(":") as [string, string];
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect({ host, port: Number(port), noDelay: true });
      const connection: RelayedConnection = { openedAt: Date.now(), closedAt: null, version: null };
      this.connections.push(connection);
      let greeting = Buffer.alloc(0);
      const greet = (chunk: Buffer) => {
        greeting = Buffer.concat([greeting, chunk]);
        connection.version = versionOf(greeting);
        if (connection.version !== null || greeting.length > 4096) far.off("data", greet);
      };
      far.on("data", greet);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          connection.closedAt ??= Date.now();
          near.destroy();
          far.destroy();
        });
      }
    });
  }

  /** Returns where it listens. */
  async start(): Promise<string> {
    return `127.0.0.1:${(await listen(this.#server)).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const handshake = 22;
const serverHello = 2;
const supportedVersions = 43;

/** The version in a ServerHello (RFC 8446 section 4.1.3); null if there is none, or not all of it. */
function versionOf(bytes: Buffer): number | null {
  if (bytes.length < 44 || bytes[0] !== handshake || bytes[5] !== serverHello) return null;
  const end = 5 + bytes.readUInt16BE(3);
  if (bytes.length < end) return null;
  // Record, message, version, random; then the session id with its length, cipher suite, compression.
  const legacy = bytes.readUInt16BE(9);
  let at = 43 + 1 + bytes[43]! + 3 + 2;
  while (at + 4 <= end) {
    if (bytes.readUInt16BE(at) === supportedVersions) return bytes.readUInt16BE(at + 4);
    at += 4 + bytes.readUInt16BE(at + 2);
  }
  return legacy;
}
