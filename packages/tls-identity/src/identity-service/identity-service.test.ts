import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeCsr } from "../csr.js";
import { IdentityError } from "../identity-error.js";
import { generateKey } from "../key.js";
import { SpiffeId } from "../spiffe-id.js";
import { createTestClock } from "../testing/test-clock.js";
import { verifyLeaf } from "../verify.js";
import { initAuthority, inspectAuthority, issuerPathsOf, rotateIssuer, rotateRoot } from "./authority-files.js";
import type { Authenticator } from "./caller.js";
import { createIdentityService, type IdentityService, type IdentityServiceOptions } from "./identity-service.js";
import { createJoinToken, createJoinTokenAuthenticator, sweepJoinTokens } from "./join-tokens.js";
import { createJwtAuthenticator } from "./jwt-authenticator.js";
import { createKubernetesAuthenticator } from "./kubernetes-authenticator.js";
import { RateLimit } from "./rate-limit.js";
import { parseRules, requireEntitled } from "./rules.js";

const trustDomain = "prod.example";
const id = SpiffeId.parse("spiffe://prod.example/ns/shop/sa/storefront");
const hour = 3_600_000;
const rules = JSON.stringify({
  rules: [
    {
      kind: "kubernetes",
      match: { namespace: "*", account: "*" },
      id: "spiffe://prod.example/ns/{namespace}/sa/{account}",
    },
    { kind: "jwt", match: { subject: "build", env: "prod" }, id: "spiffe://prod.example/ci/build" },
  ],
  revoked: ["spiffe://prod.example/ns/shop/sa/gone"],
});

let directory = "";
const services: IdentityService[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "identity-service-"));
  await initAuthority({ directory, trustDomain });
  writeFileSync(join(directory, "rules.json"), rules);
});
afterEach(() => {
  for (const service of services.splice(0)) service.close();
  rmSync(directory, { recursive: true });
});

/** Tokens are "kubernetes:<namespace>:<account>". */
const kubernetes = createKubernetesAuthenticator({
  review: async (request) => {
    const { token, audiences } = (request as { spec: { token: string; audiences: string[] } }).spec;
    const [kind, ...rest] = token.split(":");
    if (kind === "broken") throw new Error("API is away");
    if (kind === "unknown") return { status: { authenticated: false } };
    if (kind === "other-audience") return { status: { authenticated: true, audiences: ["x"] } };
    if (kind === "old-api") return { status: { authenticated: true, user: { username: `system:serviceaccount:a:b` } } };
    if (kind === "user") return { status: { authenticated: true, audiences, user: { username: "admin" } } };
    return {
      status: { authenticated: true, audiences, user: { username: `system:serviceaccount:${rest.join(":")}` } },
    };
  },
});

async function open(options: Partial<IdentityServiceOptions> = {}): Promise<IdentityService> {
  const service = createIdentityService({
    trustDomain,
    issuer: issuerPathsOf(directory),
    authenticators: [createJoinTokenAuthenticator(join(directory, "tokens")), kubernetes],
    rules: join(directory, "rules.json"),
    pollMs: 20,
    ...options,
  });
  services.push(service);
  await service.loaded();
  return service;
}

function ask(service: IdentityService, token: string, wanted = id, more: { peer?: SpiffeId; csr?: Buffer } = {}) {
  const csr = more.csr ?? writeCsr(wanted, generateKey());
  const context = { peer: more.peer ?? null, address: "127.0.0.1:1", signal: new AbortController().signal };
  return service.certify({ identity: wanted.toString(), token: Buffer.from(token), csr }, context);
}

const refused = (reason: string) => expect.objectContaining({ reason });
const until = async (condition: () => boolean) => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("the identity service", () => {
  test("issues what a rule allows, audits it, and counts", async () => {
    const lines: string[] = [];
    const service = await open({ audit: (line) => lines.push(line) });
    const response = await ask(service, "kubernetes:shop:storefront");
    expect(verifyLeaf(response.leaf).id).toBe(id);
    expect(Math.abs(response.validUntil! - Date.now() - 24 * hour)).toBeLessThan(60_000);
    await expect(ask(service, "kubernetes:shop:other")).rejects.toEqual(refused("rule-refused"));
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      {
        outcome: "issued",
        identity: id.toString(),
        caller: { kind: "kubernetes", subject: "system:serviceaccount:shop:storefront" },
      },
      { outcome: "refused", reason: "rule-refused" },
    ]);
    expect(lines.join()).not.toContain("kubernetes:shop");
    expect(service.status).toMatchObject({ issued: 1, refused: { "rule-refused": 1 }, blockers: [] });
  });

  test.each([
    ["unknown", "token-refused"],
    ["other-audience", "token-refused"],
    ["old-api", "token-refused"],
    ["user", "token-refused"],
    ["kubernetes:Shop:storefront", "token-refused"],
    ["kubernetes:shop:store:front", "token-refused"],
    ["kubernetes::storefront", "token-refused"],
    ["broken", "certify-failed"],
    ["", "token-refused"],
    ["selvage-join.nothing", "token-refused"],
    [`selvage-join.${"A".repeat(43)}`, "token-refused"],
  ])("refuses the token %j as %s", async (token, reason) => {
    await expect(ask(await open(), token)).rejects.toEqual(refused(reason));
  });

  test("refuses a CSR that is not for exactly the id, before the token is used up", async () => {
    const service = await open();
    const token = await createJoinToken(join(directory, "tokens"), { id, now: Date.now(), lifetimeMs: hour });
    const other = writeCsr(SpiffeId.parse("spiffe://prod.example/admin"), generateKey());
    await expect(ask(service, token, id, { csr: other })).rejects.toEqual(refused("csr-identity"));
    await expect(ask(service, token, id, { csr: Buffer.alloc(5000, 0x30) })).rejects.toEqual(refused("der-too-long"));
    expect((await ask(service, token)).intermediates).toHaveLength(1);
  });

  test("serves a join token once, also of fifty calls at once, and for its id only", async () => {
    const service = await open();
    const tokens = join(directory, "tokens");
    const token = await createJoinToken(tokens, { id, now: Date.now(), lifetimeMs: hour });
    expect(readdirSync(tokens).join()).not.toContain(token.slice(15));
    expect(statSync(join(tokens, readdirSync(tokens)[0]!)).mode & 0o777).toBe(0o600);
    await expect(ask(service, token, SpiffeId.parse("spiffe://prod.example/admin"))).rejects.toEqual(
      refused("rule-refused"),
    );
    const outcomes = await Promise.allSettled(Array.from({ length: 15 }, () => ask(service, token)));
    expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
    await expect(ask(service, token)).rejects.toEqual(refused("token-refused"));
    expect(readdirSync(tokens)).toEqual([]);
  });

  test("refuses and sweeps join tokens that have expired", async () => {
    const tokens = join(directory, "tokens");
    const old = await createJoinToken(tokens, { id, now: Date.now() - 2 * hour, lifetimeMs: hour });
    await createJoinToken(tokens, { id, now: Date.now(), lifetimeMs: hour });
    await expect(ask(await open(), old)).rejects.toEqual(refused("token-refused"));
    expect([await sweepJoinTokens(tokens, Date.now()), readdirSync(tokens).length]).toEqual([1, 1]);
  });

  test("renews by the caller's own SVID where that is wanted, for the same id, until it is revoked", async () => {
    const service = await open({ renewBySvid: true });
    expect((await ask(service, "", id, { peer: id })).leaf).toBeDefined();
    await expect(ask(service, "", SpiffeId.parse("spiffe://prod.example/admin"), { peer: id })).rejects.toEqual(
      refused("token-refused"),
    );
    const gone = SpiffeId.parse("spiffe://prod.example/ns/shop/sa/gone");
    await expect(ask(service, "", gone, { peer: gone })).rejects.toEqual(refused("rule-refused"));
    await expect(ask(service, "kubernetes:shop:gone", gone)).rejects.toEqual(refused("rule-refused"));
    await expect(ask(await open(), "", id, { peer: id })).rejects.toEqual(refused("token-refused"));
  });

  test("issues Linkerd's DNS-form ids by the same rules, whose values cannot add labels", async () => {
    const rule = { kind: "kubernetes", match: { namespace: "*", account: "*" } };
    const dns = "{account}.{namespace}.serviceaccount.identity.linkerd.prod.example";
    writeFileSync(join(directory, "rules.json"), JSON.stringify({ rules: [{ ...rule, id: dns }] }));
    const wanted = SpiffeId.parse("storefront.shop.serviceaccount.identity.linkerd.prod.example");
    const service = await open();
    expect(verifyLeaf((await ask(service, "kubernetes:shop:storefront", wanted)).leaf).id).toBe(wanted);
    await expect(ask(service, "kubernetes:shop:other", wanted)).rejects.toEqual(refused("rule-refused"));
  });

  test("never signs for another trust domain, whatever a rule says", async () => {
    const foreign = SpiffeId.parse("spiffe://other.example/x");
    writeFileSync(
      join(directory, "rules.json"),
      JSON.stringify({ rules: [{ kind: "kubernetes", match: { namespace: "shop" }, id: foreign.toString() }] }),
    );
    await expect(ask(await open(), "kubernetes:shop:x", foreign)).rejects.toEqual(refused("authority-mismatch"));
  });

  test("limits each caller, and all together", async () => {
    const service = await open({
      callerLimit: { perSecond: 0.001, burst: 2 },
      totalLimit: { perSecond: 0.001, burst: 5 },
    });
    await ask(service, "kubernetes:shop:storefront");
    await ask(service, "kubernetes:shop:storefront");
    await expect(ask(service, "kubernetes:shop:storefront")).rejects.toEqual(refused("rate-limited"));
    await ask(service, "kubernetes:shop:a", SpiffeId.parse("spiffe://prod.example/ns/shop/sa/a"));
    await ask(service, "kubernetes:shop:b", SpiffeId.parse("spiffe://prod.example/ns/shop/sa/b"));
    await expect(ask(service, "kubernetes:shop:c")).rejects.toEqual(refused("rate-limited"));
    const limit = new RateLimit({ perSecond: 1, burst: 1 });
    expect([limit.take("a", 0), limit.take("a", 500), limit.take("a", 1500), limit.take("b", 1500)]).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  test("takes up another issuer and other rules, and keeps the last good ones", async () => {
    const service = await open();
    const before = await ask(service, "kubernetes:shop:storefront");
    await rotateIssuer({ directory, trustDomain });
    await until(() => Buffer.compare(service.issuer!.authority.certificate.raw, before.intermediates[0]!) !== 0);
    const after = await ask(service, "kubernetes:shop:storefront");
    expect(after.intermediates[0]).not.toEqual(before.intermediates[0]);
    writeFileSync(join(directory, "issuer.pem"), "broken");
    writeFileSync(join(directory, "rules.json"), "{");
    await until(() => service.status.reloadFailures >= 2);
    expect((await ask(service, "kubernetes:shop:storefront")).intermediates).toEqual(after.intermediates);
    expect(service.status.blockers).toEqual([]);
  });

  test("is not ready, and issues nothing, without a good issuer or rules", async () => {
    writeFileSync(join(directory, "rules.json"), '{"rule": []}');
    const noRules = await open();
    expect(noRules.status.blockers[0]).toMatch(/rule is unknown; known are rules, revoked/);
    await expect(ask(noRules, "kubernetes:shop:storefront")).rejects.toEqual(refused("authority-expired"));
    const clock = createTestClock(Date.now() + 366 * 24 * hour);
    const late = await open({ now: clock.now, rules: undefined as never });
    expect(late.status.blockers[0]).toMatch(/valid from/);
    await expect(ask(late, "kubernetes:shop:storefront")).rejects.toEqual(refused("authority-expired"));
  });

  test("refuses an issuer key that others may read", async () => {
    const { chmodSync } = await import("node:fs");
    chmodSync(join(directory, "issuer.pem"), 0o644);
    expect((await open()).status.blockers[0]).toMatch(/chmod 600/);
  });
});

describe("JWTs", () => {
  const audience = "identity.l5d.io";
  async function setUp() {
    const { publicKey, privateKey } = await generateKeyPair("ES256");
    const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: "1", alg: "ES256" }] };
    const authenticator = createJwtAuthenticator({ issuer: "https://ci.example", keys });
    const token = (claims: object = {}, change: (jwt: SignJWT) => SignJWT = (jwt) => jwt) =>
      change(
        new SignJWT({ env: "prod", ...claims })
          .setProtectedHeader({ alg: "ES256", kid: "1" })
          .setIssuer("https://ci.example")
          .setSubject("build")
          .setAudience(audience)
          .setExpirationTime("1h"),
      ).sign(privateKey);
    const endless = () =>
      new SignJWT({ env: "prod" })
        .setProtectedHeader({ alg: "ES256", kid: "1" })
        .setIssuer("https://ci.example")
        .setSubject("build")
        .setAudience(audience)
        .sign(privateKey);
    return { authenticator, token, endless };
  }
  const authenticate = (authenticator: Authenticator, token: string) =>
    authenticator.authenticate(token, new AbortController().signal);

  test("are believed of one issuer, with their claims", async () => {
    const { authenticator, token } = await setUp();
    const caller = await authenticate(authenticator, await token());
    expect(caller).toMatchObject({ kind: "jwt", subject: "build", attributes: { env: "prod", subject: "build" } });
    const service = await open({ authenticators: [authenticator] });
    const wanted = SpiffeId.parse("spiffe://prod.example/ci/build");
    expect((await ask(service, await token(), wanted)).leaf).toBeDefined();
    await expect(ask(service, await token({ env: "test" }), wanted)).rejects.toEqual(refused("rule-refused"));
  });

  test("are refused when old, of another audience, without an end, unsigned or signed by another key", async () => {
    const { authenticator, token, endless } = await setUp();
    const other = await setUp();
    const bad = [
      await token({}, (jwt) => jwt.setExpirationTime(1)),
      await token({}, (jwt) => jwt.setAudience("x")),
      await endless(),
      await token({}, (jwt) => jwt.setNotBefore("1h")),
      await other.token(),
      new UnsecuredJWT({ env: "prod" })
        .setIssuer("https://ci.example")
        .setSubject("build")
        .setAudience(audience)
        .setExpirationTime("1h")
        .encode(),
    ];
    for (const one of bad) await expect(authenticate(authenticator, one)).rejects.toEqual(refused("token-refused"));
    expect(await authenticate(authenticator, "no jwt")).toBeNull();
    expect(
      await authenticate(authenticator, await token({}, (jwt) => jwt.setIssuer("https://other.example"))),
    ).toBeNull();
    expect(() => createJwtAuthenticator({ issuer: "x", keys: { keys: [] }, algorithms: ["HS256"] })).toThrow(
      IdentityError,
    );
    expect(() => createJwtAuthenticator({ issuer: "x", keys: new URL("http://x/") })).toThrow(/use https/);
  });
});

describe("rules", () => {
  test.each([
    ["[]", /must be an object/],
    ['{"rules": {}}', /must be lists/],
    ['{"rules": [{"kind": "join-token", "match": {"a": "*"}, "id": "spiffe://a/b"}]}', /rules\[0\]\.kind/],
    ['{"rules": [{"kind": "jwt", "match": {}, "id": "spiffe://a/b"}]}', /at least one attribute/],
    ['{"rules": [{"kind": "jwt", "match": {"a": 1}, "id": "spiffe://a/b"}]}', /match\.a must be a string/],
    ['{"rules": [{"kind": "jwt", "match": {"a": "*"}, "id": "spiffe://a/{b}"}]}', /uses \{b\}/],
    ['{"rules": [{"kind": "jwt", "match": {"a": "*"}, "id": "a/b"}]}', /rules\[0\]\.id/],
    ['{"rules": [{"kind": "jwt", "match": {"a": "*"}, "id": "spiffe://a/b", "ttl": 1}]}', /ttl is unknown/],
    ['{"revoked": ["x"]}', /revoked\[0\]/],
    ["{", /not JSON/],
  ])("of %s are refused", (text, message) => {
    expect(() => parseRules(text)).toThrow(message);
  });

  test("substitute values only within their segment", () => {
    const parsed = parseRules(
      '{"rules": [{"kind": "jwt", "match": {"subject": "*"}, "id": "spiffe://prod.example/ci/{subject}"}]}',
    );
    const callerNamed = (subject: string) => ({ kind: "jwt", subject, attributes: { subject } }) as const;
    const wanted = SpiffeId.parse("spiffe://prod.example/ci/x/y");
    expect(() => requireEntitled(parsed, callerNamed("x/y"), wanted)).toThrow(/may not have/);
    expect(() =>
      requireEntitled(parsed, callerNamed("toString"), SpiffeId.parse("spiffe://prod.example/ci/toString")),
    ).not.toThrow();
    expect(() => requireEntitled(parsed, { ...callerNamed("x"), attributes: {} }, wanted)).toThrow();
  });
});

describe("an authority's directory", () => {
  const where = () => ({ directory, trustDomain });

  test("is made once, and shows its certificates without its keys", async () => {
    await expect(initAuthority(where())).rejects.toThrow(/there already/);
    const summary = await inspectAuthority(where());
    expect(summary.map(({ role, daysLeft }) => [role, daysLeft])).toEqual([
      ["root", 3649],
      ["issuer", 364],
      ["bundle", 3649],
    ]);
    expect(statSync(join(directory, "root.pem")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(directory, "bundle.pem"), "utf8")).not.toContain("PRIVATE");
  });

  test("takes a step again that a crash cut short", async () => {
    const file = (name: string) => join(directory, `${name}.pem`);
    rmSync(file("issuer"));
    rmSync(file("bundle"));
    await initAuthority(where());
    expect((await inspectAuthority(where())).map(({ role }) => role)).toEqual(["root", "issuer", "bundle"]);
    await rotateRoot(where(), { step: "prepare" });
    const next = readFileSync(file("next-root"));
    await rotateRoot(where(), { step: "activate" });
    const bundle = readFileSync(file("bundle"));
    writeFileSync(file("next-root"), next, { mode: 0o600 });
    await rotateRoot(where(), { step: "activate" });
    expect(readFileSync(file("bundle"))).toEqual(bundle);
    expect((await inspectAuthority(where())).map(({ role }) => role)).toEqual(["root", "issuer", "bundle", "bundle"]);
  });

  test("changes its root in three steps, with a service that stays ready", async () => {
    const service = await open();
    const old = await ask(service, "kubernetes:shop:storefront");
    await expect(rotateRoot(where(), { step: "activate" })).rejects.toThrow(/prepare it/);
    await rotateRoot(where(), { step: "prepare" });
    await rotateRoot(where(), { step: "prepare" });
    await until(() => service.issuer!.bundle.roots.length === 2);
    await expect(rotateRoot(where(), { step: "finish" })).rejects.toThrow(/activate it first/);
    await rotateRoot(where(), { step: "activate" });
    await until(() => Buffer.compare(service.issuer!.authority.certificate.raw, old.intermediates[0]!) !== 0);
    expect((await ask(service, "kubernetes:shop:storefront")).intermediates[0]).not.toEqual(old.intermediates[0]);
    await expect(rotateRoot(where(), { step: "finish" })).rejects.toThrow(/may be valid until/);
    await rotateRoot({ ...where(), now: () => Date.now() + 25 * hour }, { step: "finish" });
    await until(() => service.issuer!.bundle.roots.length === 1);
    expect(service.status.blockers).toEqual([]);
  });
});
