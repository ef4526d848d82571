import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { parseBundle, parseBundleDocument, writeBundleDocument } from "./bundle-document.js";
import { fetchBundle } from "./bundle-fetch.js";
import { withFederation } from "./federation.js";
import type { IdentitySnapshot, TrustBundle } from "./identity-source.js";
import { exportPrivateKeyPem } from "./key.js";
import { writeCertificatesPem } from "./pem.js";
import { createRotation } from "./rotation.js";
import { SpiffeId } from "./spiffe-id.js";
import { createTestClock } from "./testing/test-clock.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";

const trust = createTestTrust();
const endpointId = SpiffeId.parse("spiffe://b.example/bundle-endpoint");
const document = writeBundleDocument({ ...trust.b.bundle, sequence: 3, refreshHintMs: 60_000 });

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(snapshot: IdentitySnapshot, status: number, body: string, headers = {}): Promise<string> {
  const server = createServer(
    { cert: snapshot.chainPem, key: exportPrivateKeyPem(snapshot.key) },
    (_request, response) => {
      response.writeHead(status, headers).end(body);
    },
  );
  server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/bundle`;
}

describe("a bundle document", () => {
  test("is read as it was written", () => {
    const bundle = parseBundleDocument("b.example", document);
    expect(bundle).toEqual({
      trustDomain: "b.example",
      roots: trust.b.bundle.roots.map((der) => Buffer.from(der)),
      sequence: 3,
      refreshHintMs: 60_000,
    });
    expect(JSON.parse(document)).toMatchObject({
      keys: [{ use: "x509-svid", kty: "EC", crv: "P-256" }],
      spiffe_sequence: 3,
      spiffe_refresh_hint: 60,
    });
    expect(parseBundle("b.example", document).roots).toHaveLength(1);
    expect(parseBundle("b.example", writeCertificatesPem(trust.b.bundle.roots)).roots).toHaveLength(1);
  });

  test("counts only X.509 keys, and of these only the first certificate", () => {
    const [key] = (JSON.parse(document) as { keys: { x5c: string[] }[] }).keys;
    const other = Buffer.from(trust.a.root.certificate.raw).toString("base64");
    const keys = [{ use: "jwt-svid", kid: "1", x5c: [other] }, { x5c: [other] }, { ...key, x5c: [...key!.x5c, other] }];
    expect(parseBundleDocument("b.example", JSON.stringify({ keys })).roots).toEqual([
      Buffer.from(trust.b.root.certificate.raw),
    ]);
  });

  const x509 = (more: object) => JSON.stringify({ keys: [{ use: "x509-svid", ...more }] });
  test.each([
    ["{", "bundle-malformed"],
    ["[]", "bundle-malformed"],
    ["{}", "bundle-malformed"],
    ['{"keys": [1]}', "bundle-malformed"],
    ['{"keys": []}', "bundle-empty"],
    [x509({}), "bundle-malformed"],
    [x509({ x5c: ["%%"] }), "bundle-malformed"],
    [x509({ x5c: [Buffer.from("no").toString("base64")] }), "der-malformed"],
    [x509({ x5c: [Buffer.from(trust.snapshot(testPeerId).leaf).toString("base64")] }), "bundle-root-not-authority"],
    [x509({ kid: "1", x5c: [Buffer.from(trust.b.root.certificate.raw).toString("base64")] }), "bundle-malformed"],
    [document.replace('"spiffe_sequence":3', '"spiffe_sequence":-1'), "bundle-malformed"],
    [document.replace('"spiffe_refresh_hint":60', '"spiffe_refresh_hint":"60"'), "bundle-malformed"],
  ])("is refused: %.60s", (text, reason) => {
    expect(() => parseBundleDocument("b.example", text)).toThrow(expect.objectContaining({ reason }));
  });
});

describe("fetching a bundle", () => {
  const authentication = { profile: "https_spiffe", endpointId, bundle: trust.b.bundle } as const;

  test("believes an endpoint by its SVID, and no other", async () => {
    const url = await serve(trust.snapshot(endpointId), 200, document);
    expect((await fetchBundle({ trustDomain: "b.example", url, authentication })).sequence).toBe(3);
    const wrong = { ...authentication, endpointId: SpiffeId.parse("spiffe://b.example/other") };
    await expect(fetchBundle({ trustDomain: "b.example", url, authentication: wrong })).rejects.toMatchObject({
      reason: "bundle-fetch",
    });
    const stranger = { ...authentication, bundle: { ...trust.a.bundle, trustDomain: "b.example" } };
    await expect(fetchBundle({ trustDomain: "b.example", url, authentication: stranger })).rejects.toMatchObject({
      reason: "bundle-fetch",
    });
    const web = { profile: "https_web" } as const;
    await expect(fetchBundle({ trustDomain: "b.example", url, authentication: web })).rejects.toMatchObject({
      reason: "bundle-fetch",
    });
  });

  test("follows no redirect and reads no endless document", async () => {
    const moved = await serve(trust.snapshot(endpointId), 302, "", { location: "https://127.0.0.1:1/" });
    await expect(fetchBundle({ trustDomain: "b.example", url: moved, authentication })).rejects.toThrow(/status 302/);
    const long = await serve(trust.snapshot(endpointId), 200, " ".repeat(2 << 20));
    await expect(fetchBundle({ trustDomain: "b.example", url: long, authentication })).rejects.toThrow(/more than/);
    for (const url of ["http://127.0.0.1/", "x", "https://u:p@127.0.0.1/"]) {
      await expect(fetchBundle({ trustDomain: "b.example", url, authentication })).rejects.toMatchObject({
        reason: "source-options",
      });
    }
  });
});

describe("federation", () => {
  function setUp(answers: (() => TrustBundle)[], trustDomain = "b.example") {
    const clock = createTestClock(trust.now);
    const made = trust.snapshot(testPeerId);
    const inner = createRotation({
      now: clock.now,
      schedule: clock.schedule,
      obtain: async () => ({
        chain: [made.leaf, trust.a.issuer.certificate.raw],
        key: made.key,
        bundles: made.bundles,
      }),
    });
    const failures: Error[] = [];
    const source = withFederation(inner, {
      relations: [{ trustDomain, url: "https://b.example/", profile: "https_web" }],
      schedule: clock.schedule,
      random: () => 0,
      fetch: async () => (answers.length > 1 ? answers.shift()!() : answers[0]!()),
    });
    source.onFailure((error) => failures.push(error));
    return { clock, source, failures };
  }
  const rootsOf = (source: { current: IdentitySnapshot | null }, trustDomain: string) =>
    source.current?.bundles.get(trustDomain)?.roots;

  test("adds bundles when they come, follows the newest, and keeps what it has", async () => {
    const next = createTestTrust().b.bundle;
    const { clock, source, failures } = setUp([
      () => {
        throw new Error("away");
      },
      () => ({ ...trust.b.bundle, sequence: 2 }),
      () => ({ ...next, sequence: 1 }),
      () => ({ ...next, sequence: 3 }),
      () => {
        throw new Error("away");
      },
    ]);
    await clock.advance(0);
    expect([rootsOf(source, "b.example"), failures.length, source.current?.generation]).toEqual([undefined, 1, 1]);
    await clock.advance(1000);
    expect([rootsOf(source, "b.example"), source.current?.generation]).toEqual([trust.b.bundle.roots, 2]);
    await clock.advance(300_000);
    expect([rootsOf(source, "b.example"), source.current?.generation]).toEqual([trust.b.bundle.roots, 2]);
    await clock.advance(300_000);
    expect([rootsOf(source, "b.example"), source.current?.generation]).toEqual([next.roots, 3]);
    await clock.advance(300_000);
    expect([rootsOf(source, "b.example"), failures.length]).toEqual([next.roots, 2]);
    source.close();
    expect(clock.pending).toEqual([]);
  });

  test("never replaces the bundle of the own trust domain", async () => {
    const { clock, source } = setUp([() => ({ ...trust.b.bundle, trustDomain: "a.example" })], "a.example");
    await clock.advance(1000);
    expect(rootsOf(source, "a.example")).toEqual(trust.a.bundle.roots);
    source.close();
  });

  test("needs a first bundle for an endpoint that proves itself by SVID", () => {
    const inner = createRotation({ obtain: () => new Promise(() => {}) });
    const relation = {
      trustDomain: "b.example",
      url: "https://b.example/",
      profile: "https_spiffe",
      endpointId,
    } as const;
    expect(() => withFederation(inner, { relations: [relation] })).toThrow(/needs endpointId and bundle/);
    inner.close();
  });
});
