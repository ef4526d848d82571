import { isIP } from "node:net";
import { connect, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import { explainReason } from "./explain-reason.js";
import { inspectChain } from "./inspect-material.js";
import type { Inspection, InspectionTerms } from "./inspection.js";

/** Where to look. */
export interface InspectionAddress {
  readonly host: string;
  readonly port: number;
  /** @defaultValue 5000 */
  readonly timeoutMs?: number;
}

/**
 * Connects, shows no certificate of its own, and explains what the server presents. Believes nothing and sends nothing. Rejects with
 * the system's or OpenSSL's error if there is no TLS to be had.
 */
export async function inspectAddress(address: InspectionAddress, terms: InspectionTerms = {}): Promise<Inspection[]> {
  const socket = await handshake(address);
  try {
    const protocol = socket.getProtocol() ?? "unknown";
    const alpn = socket.alpnProtocol;
    const facts = {
      address: `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`,
      protocol: `${protocol.replace("TLSv", "TLS ")}, ${socket.getCipher().name}`,
      ALPN: alpn === false || alpn === null ? "none" : alpn,
    };
    const problems = protocol === "TLSv1.3" ? [] : [explainReason("tls-version")];
    // The one look at the chain that Node 20 and 24 allow.
    return [{ what: "connection", facts, problems }, ...inspectChain(chainOf(socket.getPeerCertificate(true)), terms)];
  } finally {
    socket.destroy();
  }
}

function handshake({ host, port, timeoutMs = 5000 }: InspectionAddress): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const servername = isIP(host) === 0 ? host : "";
    const socket = connect({ host, port, servername, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
    socket.setTimeout(timeoutMs, () =>
      socket.destroy(Object.assign(new Error(`no TLS handshake within ${timeoutMs} ms`), { code: "ETIMEDOUT" })),
    );
    // Stays for the socket's whole life: a server that wants a certificate ends the connection whenever it likes.
    socket.on("error", reject);
    socket.once("close", () =>
      reject(Object.assign(new Error("the peer closed the connection"), { code: "ECONNRESET" })),
    );
    socket.once("secureConnect", () => resolve(socket));
  });
}

function chainOf(leaf: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  for (let one: DetailedPeerCertificate | undefined = leaf; one?.raw !== undefined && chain.length < 10; ) {
    if (chain.some((seen) => seen.equals(one!.raw))) break;
    chain.push(one.raw);
    one = one.issuerCertificate;
  }
  return chain;
}
