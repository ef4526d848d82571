import "reflect-metadata";
import { webcrypto } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SubjectAlternativeNameExtension, X509CertificateGenerator } from "@peculiar/x509";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseBundle } from "../bundle-document.js";
import { fetchBundle } from "../bundle-fetch.js";
import { SpiffeId } from "../spiffe-id.js";
import { initAuthority, issuerPathsOf, rotateRoot } from "./authority-files.js";
import { type BundleEndpointOptions, serveBundle } from "./bundle-endpoint.js";
import { createIdentityService } from "./identity-service.js";

const trustDomain = "prod.example";
const id = SpiffeId.parse("spiffe://prod.example/ns/selvage/sa/identity");

let directory = "";
let ends: (() => unknown)[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "bundle-endpoint-"));
  ends = [];
  await initAuthority({ directory, trustDomain });
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  rmSync(directory, { recursive: true });
});

async function serve(options: Partial<BundleEndpointOptions> = {}): Promise<string> {
  const service = createIdentityService({
    trustDomain,
    issuer: issuerPathsOf(directory),
    authenticators: [],
    pollMs: 20,
  });
  ends.push(() => service.close());
  const endpoint = await serveBundle({ service, id, host: "127.0.0.1", port: 0, ...options });
  ends.push(() => endpoint.close());
  return `https://localhost:${endpoint.port}/bundle`;
}

const held = () => parseBundle(trustDomain, readFileSync(issuerPathsOf(directory).bundle, "utf8"));

test("other domains fetch the bundle from who they were told to, and see it change", async () => {
  const url = await serve();
  const bundle = held();
  const authentication = { profile: "https_spiffe", endpointId: id, bundle } as const;
  const fetched = await fetchBundle({ trustDomain, url, authentication });
  expect(fetched.roots.map((root) => Buffer.from(root))).toEqual(bundle.roots.map((root) => Buffer.from(root)));
  expect(fetched.refreshHintMs).toBe(300_000);
  const other = { ...authentication, endpointId: SpiffeId.parse("spiffe://prod.example/ns/shop/sa/other") };
  await expect(fetchBundle({ trustDomain, url, authentication: other })).rejects.toMatchObject({
    reason: "bundle-fetch",
  });

  await rotateRoot({ directory, trustDomain }, { step: "prepare" });
  await expect
    .poll(async () => (await fetchBundle({ trustDomain, url, authentication })).roots.length)
    .toBe(held().roots.length);
  expect(held().roots.length).toBe(2);
});

test("with a certificate of the public web it is believed by its host", async () => {
  const keys = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=localhost",
      keys,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: [new SubjectAlternativeNameExtension([{ type: "dns", value: "localhost" }])],
    },
    webcrypto as never,
  );
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey)).toString("base64");
  const web = { cert: join(directory, "web.crt"), key: join(directory, "web.key") };
  writeFileSync(web.cert, certificate.toString("pem"));
  writeFileSync(web.key, `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`, { mode: 0o600 });
  const url = await serve({ web });
  const ca = certificate.toString("pem");
  expect((await fetchBundle({ trustDomain, url, authentication: { profile: "https_web", ca } })).roots.length).toBe(1);
  const elsewhere = url.replace("localhost", "127.0.0.1");
  const byAddress = fetchBundle({ trustDomain, url: elsewhere, authentication: { profile: "https_web", ca } });
  await expect(byAddress).rejects.toMatchObject({ reason: "bundle-fetch" });
  await expect(fetchBundle({ trustDomain, url, authentication: { profile: "https_web" } })).rejects.toMatchObject({
    reason: "bundle-fetch",
  });
});

test("it tells nothing else", async () => {
  const url = await serve();
  const statusOf = (path: string, method = "GET") =>
    new Promise((resolve, reject) => {
      const request = get(new URL(path, url), { method, rejectUnauthorized: false, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      request.on("error", reject);
    });
  expect(await Promise.all([statusOf("/"), statusOf("/bundle", "DELETE"), statusOf("/bundle", "HEAD")])).toEqual([
    404, 405, 200,
  ]);
});
