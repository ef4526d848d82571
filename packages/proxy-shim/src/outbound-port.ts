import type { Duplex } from "node:stream";
import { HttpServer, MeshExchange, type MeshRuntime } from "@selvage/core/spi";
import { ProxyEntry } from "./proxy-entry.js";

/** A TLS record with the alert "access denied" (RFC 8446, section 6), which a client can show to somebody. */
const tlsAlert = Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x31]);
const tlsHandshake = 0x16;

/** The listener that the program sends its calls to: as to a proxy, by CONNECT too, or with the service's name as Host. */
export function createOutboundPort(runtime: MeshRuntime): HttpServer {
  let warned = false;
  const server: HttpServer = new HttpServer({
    service: new ProxyEntry(runtime.outbound, {
      isService: (authority) => runtime.isService(authority),
      accept: (tunnel) => server.accept(tunnel),
    }),
    newExchange: () => new MeshExchange("outbound"),
    onProtection: runtime.onProtection,
    http1: { allowConnect10: true },
    onOpaque(_, socket) {
      const first = firstByte(socket);
      runtime.onProtection(first === tlsHandshake ? "tls to the outbound port" : "unknown protocol");
      if (first !== tlsHandshake) {
        socket.destroy();
        return;
      }
      if (!warned) {
        const remedy = "call services of the mesh by http://, the mesh encrypts";
        runtime.log("warn", "outbound.tls", { problem: "the program encrypts what is for the mesh", remedy });
      }
      warned = true;
      socket.end(tlsAlert, () => socket.destroy());
    },
  });
  return server;
}

/** -1: nothing came. */
function firstByte(socket: Duplex): number {
  const chunk: Buffer | null = socket.read();
  return chunk?.[0] ?? -1;
}
