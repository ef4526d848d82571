import { X509Certificate } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createIdentityService,
  type IdentitySource,
  initAuthority,
  issuerPathsOf,
  rotateRoot,
  SpiffeId,
  serveBundle,
} from "@selvage/tls-identity";
import { createTestTrust, testPeerId } from "@selvage/tls-identity/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadConfig } from "../config/load.js";
import { openIdentity } from "./identity.js";

let directory = "";
let ends: (() => unknown)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "selvage-identity-"));
  ends = [];
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(directory, { recursive: true });
});

const pemOf = (certificates: readonly Uint8Array[]) =>
  certificates.map((der) => new X509Certificate(der).toString()).join("");

/** A workload whose identity is in files, in a domain that federates with another by its bundle endpoint. */
async function open(endpoints: Record<string, { url: string; id?: string; bundle?: string }>): Promise<IdentitySource> {
  const trust = createTestTrust();
  const { chainPem, key, bundles, id } = trust.snapshot(testPeerId);
  const write = (name: string, text: string) => {
    const path = join(directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const config = loadConfig({
    options: {
      workload: { name: "store", trustDomain: id.trustDomain },
      identity: {
        source: "files",
        cert: write("tls.crt", chainPem),
        key: write("tls.key", key.export({ type: "pkcs8", format: "pem" }).toString()),
        bundle: write("ca.crt", pemOf(bundles.get(id.trustDomain)!.roots)),
        federation: { endpoints },
      },
    },
    env: {},
    cwd: directory,
  });
  const source = await openIdentity(config, directory, () => {});
  ends.push(() => source.close());
  return source;
}

test("another domain is believed by the bundle that its endpoint serves, not only by the one that was there at first", async () => {
  const trustDomain = "partner.example";
  const authority = join(directory, "authority");
  const paths = issuerPathsOf(authority);
  await initAuthority({ directory: authority, trustDomain });
  const known = join(directory, "partner.pem");
  copyFileSync(paths.bundle, known);
  await rotateRoot({ directory: authority, trustDomain }, { step: "prepare" });
  const service = createIdentityService({ trustDomain, issuer: paths, authenticators: [] });
  ends.push(() => service.close());
  const id = SpiffeId.parse("spiffe://partner.example/ns/selvage/sa/identity");
  const endpoint = await serveBundle({ service, id, host: "127.0.0.1", port: 0 });
  ends.push(() => endpoint.close());

  const url = `https://127.0.0.1:${endpoint.port}/bundle`;
  const source = await open({ [trustDomain]: { url, id: id.toString(), bundle: known } });
  const roots = () => pemOf(source.current!.bundles.get(trustDomain)!.roots).trim();
  await expect.poll(roots).toBe(readFileSync(paths.bundle, "utf8").trim());
  expect(roots()).not.toBe(readFileSync(known, "utf8").trim());
});

test.each([
  [{ url: "http://partner.example/" }, /endpoints.*url.*https/s],
  [{ url: "https://partner.example/", id: "spiffe://partner.example/a" }, /must not have id alone/],
  [
    { url: "https://partner.example/", id: "spiffe://other.example/a", bundle: "b.pem" },
    /must be in the trust domain partner.example/,
  ],
])("an endpoint that can't be meant is refused at load: %j", async (endpoint, message) => {
  await expect(open({ "partner.example": endpoint })).rejects.toThrow(message);
});
