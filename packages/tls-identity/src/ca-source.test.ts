import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CaSourceOptions, createCaSource } from "./ca-source.js";
import { initAuthority, issuerPathsOf, rotateRoot } from "./identity-service/authority-files.js";
import { type IdentityServer, serveIdentity } from "./identity-service/identity-server.js";
import { createIdentityService, type IdentityService } from "./identity-service/identity-service.js";
import { createJoinToken, createJoinTokenAuthenticator } from "./identity-service/join-tokens.js";
import type { IdentitySnapshot, IdentitySource } from "./identity-source.js";
import { SpiffeId } from "./spiffe-id.js";
import { verdictOfServer } from "./testing/handshake.js";
import { createTestTrust } from "./testing/test-trust.js";

const trustDomain = "prod.example";
const id = SpiffeId.parse("spiffe://prod.example/ns/shop/sa/storefront");
const serverId = SpiffeId.parse("spiffe://prod.example/selvage/identity");
const hour = 3_600_000;

let directory = "";
let service: IdentityService;
let server: IdentityServer;
const sources: IdentitySource[] = [];
const audit: { outcome: string; caller: { kind: string } | null }[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "ca-source-"));
  audit.length = 0;
  await initAuthority({ directory, trustDomain });
  service = createIdentityService({
    trustDomain,
    issuer: issuerPathsOf(directory),
    authenticators: [
      createJoinTokenAuthenticator(join(directory, "tokens")),
      {
        authenticate: async (token) =>
          token === "good" ? { kind: "jwt", subject: "test", attributes: {}, entitledTo: id } : null,
      },
    ],
    renewBySvid: true,
    pollMs: 20,
    audit: (line) => audit.push(JSON.parse(line)),
  });
  server = await serveIdentity({ service, id: serverId, host: "127.0.0.1", port: 0 });
  writeFileSync(join(directory, "token"), "good\n");
});
afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  await server.close();
  service.close();
  rmSync(directory, { recursive: true });
});

function open(options: Partial<CaSourceOptions> = {}): IdentitySource {
  const source = createCaSource({
    address: `https://127.0.0.1:${server.port}`,
    serverId,
    id,
    token: join(directory, "token"),
    bundle: join(directory, "bundle.pem"),
    pollMs: 20,
    minBackoffMs: 20,
    maxBackoffMs: 50,
    ...options,
  });
  sources.push(source);
  return source;
}

const next = (source: IdentitySource) =>
  new Promise<IdentitySnapshot>((resolve) => {
    const end = source.subscribe((snapshot) => {
      end();
      resolve(snapshot);
    });
  });
const nextFailure = (source: IdentitySource) =>
  new Promise<Error>((resolve) => {
    const end = source.onFailure((error) => {
      end();
      resolve(error);
    });
  });

describe("the authority source", () => {
  test("gets an SVID that the mesh believes", async () => {
    const snapshot = await open().ready();
    expect([snapshot.id, audit.length]).toEqual([id, 1]);
    const material = {
      chainPem: snapshot.chainPem,
      keyPem: snapshot.key.export({ type: "pkcs8", format: "pem" }) as string,
    };
    expect(await verdictOfServer(snapshot, { material })).toBe(`accepted ${id}`);
  });

  test("reads its token for every attempt", async () => {
    writeFileSync(join(directory, "token"), "bad");
    const source = open();
    expect(await nextFailure(source)).toMatchObject({ reason: "certify-refused" });
    writeFileSync(join(directory, "token"), "good");
    expect((await source.ready()).id).toBe(id);
  });

  test("with a join token gets its first SVID, and renews by that", async () => {
    const token = await createJoinToken(join(directory, "tokens"), { id, now: Date.now(), lifetimeMs: hour });
    writeFileSync(join(directory, "token"), token);
    let now = Date.now();
    const timers = new Set<() => void>();
    const source = open({
      now: () => now,
      schedule: (_delayMs, run) => {
        timers.add(run);
        return () => timers.delete(run);
      },
    });
    const first = await source.ready();
    await new Promise((resolve) => setImmediate(resolve));
    now += 13 * hour;
    const coming = next(source);
    for (const fire of [...timers]) fire();
    const second = await coming;
    expect(second.leaf).not.toEqual(first.leaf);
    expect(audit.map(({ outcome, caller }) => [outcome, caller?.kind])).toEqual([
      ["issued", "join-token"],
      ["issued", "svid"],
    ]);
  });

  test("talks only to the service that it expects", async () => {
    const other = open({ serverId: SpiffeId.parse("spiffe://prod.example/selvage/other") });
    expect((await nextFailure(other)).message).toMatch(/identity service at/);
    writeFileSync(
      join(directory, "stranger.pem"),
      createTestTrust().files(SpiffeId.parse("spiffe://a.example/x")).bundle,
    );
    const stranger = open({ bundle: join(directory, "stranger.pem") });
    expect(await nextFailure(stranger)).toMatchObject({ reason: "certify-failed" });
    expect(audit).toEqual([]);
    other.close();
    stranger.close();
  });

  test("publishes its SVID again when the bundle changes, without asking for another", async () => {
    const source = open();
    const first = await source.ready();
    const coming = next(source);
    await rotateRoot({ directory, trustDomain }, { step: "prepare" });
    const second = await coming;
    expect(second.bundles.get(trustDomain)?.roots).toHaveLength(2);
    expect([second.generation, second.leaf, audit.length]).toEqual([2, first.leaf, 1]);
  });

  test("survives the whole change of a root, the service's own certificate included", async () => {
    const source = open();
    await source.ready();
    let coming = next(source);
    await rotateRoot({ directory, trustDomain }, { step: "prepare" });
    await coming;
    const active = service.issuer!.authority;
    await rotateRoot({ directory, trustDomain }, { step: "activate" });
    while (service.issuer!.authority === active) await new Promise((resolve) => setTimeout(resolve, 5));
    const other = open();
    coming = next(other);
    expect((await coming).bundles.get(trustDomain)?.roots).toHaveLength(2);
  });

  test.each(["http://127.0.0.1:1", "127.0.0.1:1", "https://a/b", "https://u@a:1", ""])(
    "refuses the address %j",
    (address) => {
      expect(() => open({ address })).toThrow(/https:\/\/host:port/);
    },
  );

  test("refuses a service of another trust domain, and waits for one that is away", async () => {
    expect(() => open({ serverId: SpiffeId.parse("spiffe://other.example/x") })).toThrow(/not of the trust domain/);
    const source = open({ address: "https://127.0.0.1:1", callTimeoutMs: 300 });
    expect(await nextFailure(source)).toMatchObject({ reason: "certify-failed" });
  });

  test("a workload whose SVID ended while the service was away comes back by a new join token", async () => {
    const tokens = join(directory, "tokens");
    const newToken = async () => {
      const token = await createJoinToken(tokens, { id, now: Date.now(), lifetimeMs: hour });
      writeFileSync(join(directory, "token"), token);
    };
    service.close();
    service = createIdentityService({
      trustDomain,
      issuer: issuerPathsOf(directory),
      authenticators: [createJoinTokenAuthenticator(tokens)],
      renewBySvid: true,
      leafLifetimeMs: 1000,
    });
    await server.close();
    server = await serveIdentity({ service, id: serverId, host: "127.0.0.1", port: 0 });
    await newToken();
    const source = open();
    const first = await source.ready();
    await server.close();
    await new Promise((resolve) => setTimeout(resolve, first.notAfter + 200 - Date.now()));
    const renewed = next(source);
    await newToken();
    server = await serveIdentity({ service, id: serverId, host: "127.0.0.1", port: server.port });
    expect((await renewed).notAfter).toBeGreaterThan(first.notAfter);
  });
});
