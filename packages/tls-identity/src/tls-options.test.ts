import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createDevSource } from "./dev-source.js";
import type { IdentitySnapshot } from "./identity-source.js";
import { peerIdentity } from "./peer-identity.js";
import { SpiffeId } from "./spiffe-id.js";
import { clientTlsOptions, serverTlsOptions } from "./tls-options.js";

let stateDir = "";
const snaps: IdentitySnapshot[] = [];
beforeAll(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "tls-options-"));
  for (const name of ["a", "b"]) {
    const source = createDevSource({ stateDir, id: SpiffeId.parse(`spiffe://dev.example/${name}`), production: false });
    snaps.push(await source.ready());
    source.close();
  }
});
afterAll(() => rmSync(stateDir, { recursive: true }));

test("client and server of one development authority verify each other", async () => {
  const [a, b] = snaps as [IdentitySnapshot, IdentitySnapshot];
  const seen = await new Promise((resolve, reject) => {
    const server = tls.createServer(serverTlsOptions(a), (socket) => {
      socket.on("error", reject);
      resolve([peerIdentity(socket).id, socket.getProtocol()]);
      socket.end();
      server.close();
    });
    server.on("tlsClientError", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      const socket = tls.connect({ host: "127.0.0.1", port, ...clientTlsOptions(b, a.id) }, () => {
        try {
          expect(peerIdentity(socket).id).toBe(a.id);
        } catch (e) {
          reject(e);
        }
        socket.end();
      });
      socket.on("error", reject);
      socket.resume();
    });
  });
  expect(seen).toEqual([b.id, "TLSv1.3"]);
});
