import { once } from "node:events";
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buildCertificate, derAltNames, derBasicConstraints, derName } from "../certificate-builder.js";
import { derContextBytes, parseDer } from "../der.js";
import { exportPrivateKeyPem, exportSpki, generateKey } from "../key.js";
import { writeCertificatesPem } from "../pem.js";

/** An https server as the public web has them, believed by its host's name and not by an id. */
export interface WebServer {
  /** `https://127.0.0.1:port` */
  readonly url: string;
  /** PEM: its certificate, which is its own root. */
  readonly ca: string;
  close(): Promise<void>;
}

/** Starts one on a port of its own. */
export async function startWebServer(listener: RequestListener): Promise<WebServer> {
  const pair = generateKey();
  const loopback = Buffer.from([127, 0, 0, 1]);
  const der = buildCertificate({
    issuer: derName("web"),
    subject: derName("web"),
    spki: parseDer(exportSpki(pair.publicKey), 512),
    notBefore: Date.now() - 60_000,
    notAfter: Date.now() + 3_600_000,
    extensions: [derBasicConstraints(true), derAltNames(false, derContextBytes(7, loopback))],
    signer: pair.privateKey,
  });
  const ca = writeCertificatesPem([der]);
  const server = createServer({ cert: ca, key: exportPrivateKeyPem(pair.privateKey) }, listener);
  server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
