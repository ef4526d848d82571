import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestClock, type TestClock } from "../testing/test-clock.js";
import { startWebServer, type WebServer } from "../testing/web-server.js";
import type { Authenticator } from "./caller.js";
import { createJwtAuthenticator, type JwtAuthenticatorOptions } from "./jwt-authenticator.js";

const issuer = "https://ci.example";
const audience = "identity.l5d.io";
const minute = 60_000;

/** A key pair of an issuer, with its name in JWK Sets. */
class Signer {
  readonly kid: string;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;

  constructor(kid: string) {
    this.kid = kid;
    ({ publicKey: this.publicKey, privateKey: this.privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" }));
  }

  get jwk(): object {
    return { ...this.publicKey.export({ format: "jwk" }), kid: this.kid, alg: "ES256", use: "sig" };
  }
}

const first = new Signer("first");
const second = new Signer("second");
const setOf = (...signers: Signer[]) => JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });

let server: WebServer;
let clock: TestClock;
let failures: Error[];
/** How the server answers, and how often it was asked. */
let answer: (response: ServerResponse) => void;
let asked = 0;

beforeAll(async () => {
  server = await startWebServer((_request, response) => {
    asked++;
    answer(response);
  });
});
afterAll(() => server.close());
beforeEach(() => {
  clock = createTestClock();
  failures = [];
  asked = 0;
  answer = (response) => response.end(setOf(first));
});

function open(options: Partial<JwtAuthenticatorOptions> = {}): Authenticator {
  const keys = new URL("/keys", server.url);
  const onKeysFailure = (error: Error) => failures.push(error);
  return createJwtAuthenticator({ issuer, keys, ca: server.ca, now: clock.now, onKeysFailure, ...options });
}

function token(signer: Signer, change: (jwt: SignJWT) => SignJWT = (jwt) => jwt, header: object = {}): Promise<string> {
  const jwt = new SignJWT({ env: "prod" })
    .setProtectedHeader({ alg: "ES256", kid: signer.kid, ...header })
    .setIssuer(issuer)
    .setSubject("build")
    .setAudience(audience)
    .setExpirationTime(clock.now() / 1000 + 24 * 3600);
  return change(jwt).sign(signer.privateKey);
}

const ask = (authenticator: Authenticator, text: string) =>
  authenticator.authenticate(text, new AbortController().signal);
const believed = { kind: "jwt", subject: "build", attributes: { env: "prod" } };
const refused = (reason: string, message?: RegExp) =>
  expect.objectContaining({ reason, ...(message && { message: expect.stringMatching(message) }) });

describe("keys at a URL", () => {
  test("are asked for once, also by many tokens at once, and again when they are old", async () => {
    const authenticator = open();
    const one = await token(first);
    const all = await Promise.all(Array.from({ length: 20 }, () => ask(authenticator, one)));
    for (const caller of all) expect(caller).toMatchObject(believed);
    expect(asked).toBe(1);
    await clock.advance(9 * minute);
    await ask(authenticator, one);
    expect(asked).toBe(1);
    await clock.advance(minute);
    await ask(authenticator, one);
    expect(asked).toBe(2);
    expect(failures).toEqual([]);
  });

  test("that are new are found by the first token that names one, those that are gone are believed no more", async () => {
    const authenticator = open();
    expect(await ask(authenticator, await token(first))).toMatchObject(believed);
    answer = (response) => response.end(setOf(second));
    await clock.advance(10_000);
    expect(await ask(authenticator, await token(second))).toMatchObject(believed);
    expect(asked).toBe(2);
    await expect(ask(authenticator, await token(first))).rejects.toEqual(refused("token-refused", /no applicable key/));
  });

  test("are not asked for more often than every 10 s, whatever tokens name", async () => {
    const authenticator = open();
    await ask(authenticator, await token(first));
    for (let n = 0; n < 20; n++) {
      await expect(ask(authenticator, await token(new Signer(`stranger-${n}`)))).rejects.toEqual(
        refused("token-refused", /no applicable key/),
      );
      await clock.advance(1000);
    }
    // At the start, and after 10 s.
    expect(asked).toBe(2);
    expect(await ask(authenticator, await token(first))).toMatchObject(believed);
  });

  test("stay in use while the server is away, and are looked for again", async () => {
    const authenticator = open();
    const one = await token(first);
    await ask(authenticator, one);
    answer = (response) => response.destroy();
    for (let n = 0; n < 3; n++) {
      await clock.advance(10 * minute);
      expect(await ask(authenticator, one)).toMatchObject(believed);
    }
    expect(failures).toHaveLength(3);
    expect(failures[0]!.message).toMatch(/^cannot get the keys of JWTs from https:.*\/keys: socket hang up/);
    answer = (response) => response.end(setOf(second));
    await clock.advance(minute);
    await expect(ask(authenticator, one)).rejects.toEqual(refused("token-refused"));
  });

  test("that were never there: tokens wait for no more than one attempt in 10 s, and are believed once they are", async () => {
    answer = (response) => response.writeHead(503).end();
    const authenticator = open();
    const one = await token(first);
    for (let n = 0; n < 5; n++)
      await expect(ask(authenticator, one)).rejects.toEqual(refused("certify-failed", /no keys .*: status 503/));
    expect([asked, failures.length]).toEqual([1, 1]);
    answer = (response) => response.end(setOf(first));
    await clock.advance(10_000);
    expect(await ask(authenticator, one)).toMatchObject(believed);
  });

  test("of a server that can't be reached or isn't believed are none", async () => {
    const unreachable = new URL("https://127.0.0.1:1/keys");
    const one = await token(first);
    await expect(ask(open({ keys: unreachable }), one)).rejects.toEqual(refused("certify-failed", /ECONNREFUSED/));
    // Without `ca`, by the roots of the public web.
    const stranger = createJwtAuthenticator({ issuer, keys: new URL("/keys", server.url), now: clock.now });
    await expect(ask(stranger, one)).rejects.toEqual(refused("certify-failed", /self-signed certificate/));
    expect(asked).toBe(0);
  });

  test.each<[string, RegExp, (response: ServerResponse) => void]>([
    [
      "a redirect",
      /status 302; redirects are not followed/,
      (response) => response.writeHead(302, { location: "/other" }).end(),
    ],
    ["more than 1 MiB", /more than 1048576 bytes/, (response) => response.end(setOf(first).padEnd((1 << 20) + 1))],
    ["no JSON", /not JSON/, (response) => response.end("<html>")],
    ["no set", /no JWK Set/, (response) => response.end('{"keys": {}}')],
    ["a set of texts", /no JWK Set/, (response) => response.end('{"keys": ["x"]}')],
    [
      "half a set",
      /aborted/,
      (response) => response.writeHead(200, { "content-length": 5000 }).write(setOf(first), () => response.destroy()),
    ],
  ])("of %s are none, and replace none", async (_name, message, bad) => {
    answer = bad;
    const one = await token(first);
    await expect(ask(open(), one)).rejects.toEqual(refused("certify-failed", message));
    expect(asked).toBe(1);
    answer = (response) => response.end(setOf(first));
    const authenticator = open();
    await ask(authenticator, one);
    answer = bad;
    await clock.advance(10 * minute);
    expect(await ask(authenticator, one)).toMatchObject(believed);
    expect(failures.at(-1)!.message).toMatch(message);
  });

  test("must be https, also on this machine", () => {
    for (const url of ["http://ci.example/keys", "http://127.0.0.1:8080/keys", "file:///etc/keys.json"])
      expect(() => open({ keys: new URL(url) })).toThrow(/use https/);
  });
});

describe("tokens that are verified by keys at a URL", () => {
  test.each<[string, RegExp, (jwt: SignJWT) => SignJWT]>([
    ["expired", /"exp" claim/, (jwt) => jwt.setExpirationTime(clock.now() / 1000 - 1)],
    ["not yet valid", /"nbf" claim/, (jwt) => jwt.setNotBefore(clock.now() / 1000 + 60)],
    ["of another audience", /"aud" claim/, (jwt) => jwt.setAudience("elsewhere")],
    ["of nobody", /"sub" claim/, (jwt) => jwt.setSubject("")],
  ])("are refused when %s", async (_name, message, change) => {
    await expect(ask(open(), await token(first, change))).rejects.toEqual(refused("token-refused", message));
  });

  test("end when they say, not when they were first seen", async () => {
    const authenticator = open();
    const one = await token(first, (jwt) => jwt.setExpirationTime(clock.now() / 1000 + 60));
    expect(await ask(authenticator, one)).toMatchObject(believed);
    await clock.advance(minute + 1000);
    await expect(ask(authenticator, one)).rejects.toEqual(refused("token-refused", /"exp" claim/));
  });

  test("are not believed by an algorithm that proves nothing, and nobody is asked for its keys", async () => {
    const authenticator = open();
    await ask(authenticator, await token(first));
    await clock.advance(5 * minute);
    const [, claims] = (await token(first)).split(".");
    const headed = (header: object) => `${Buffer.from(JSON.stringify(header)).toString("base64url")}.${claims}`;
    for (const text of [`${headed({ alg: "none" })}.`, `${headed({ alg: "none", kid: "first" })}.AAAA`])
      await expect(ask(authenticator, text)).rejects.toEqual(refused("token-refused"));
    // The public key, which everybody has, as if it were a shared secret.
    const spki = first.publicKey.export({ type: "spki", format: "pem" });
    const x = (first.publicKey.export({ format: "jwk" }) as { x: string }).x;
    for (const secret of [Buffer.from(spki), Buffer.from(x, "base64url"), Buffer.from(JSON.stringify(first.jwk))]) {
      const forged = new SignJWT({}).setProtectedHeader({ alg: "HS256", kid: "first" }).setIssuer(issuer);
      const text = await forged.setSubject("build").setAudience(audience).setExpirationTime("1h").sign(secret);
      await expect(ask(authenticator, text)).rejects.toEqual(refused("token-refused", /"alg"/));
    }
    expect(asked).toBe(1);
  });

  test("are not believed by what the set should not hold: shared secrets, private keys, short keys, keys for encryption", async () => {
    const secret = Buffer.alloc(32, 7);
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const encrypting = new Signer("encrypting");
    const leaked = new Signer("leaked");
    const keys = [
      { kty: "oct", k: secret.toString("base64url"), kid: "secret" },
      { ...rsa.publicKey.export({ format: "jwk" }), kid: "short", alg: "RS256" },
      { ...encrypting.jwk, use: "enc" },
      { ...leaked.privateKey.export({ format: "jwk" }), kid: "leaked", alg: "ES256" },
      first.jwk,
    ];
    answer = (response) => response.end(JSON.stringify({ keys }));
    const authenticator = open();
    const claims = () =>
      new SignJWT({}).setIssuer(issuer).setSubject("build").setAudience(audience).setExpirationTime("1h");
    const texts = [
      await claims().setProtectedHeader({ alg: "HS256", kid: "secret" }).sign(secret),
      await token(encrypting),
      await token(leaked),
      shortRsaToken(rsa.privateKey),
    ];
    for (const text of texts) await expect(ask(authenticator, text)).rejects.toEqual(refused("token-refused"));
    expect(await ask(authenticator, await token(first))).toMatchObject(believed);
  });

  test("bring no keys of their own", async () => {
    const own = new Signer("own");
    const texts = [
      await token(own, (jwt) => jwt, { jwk: own.jwk }),
      await token(own, (jwt) => jwt, { jku: new URL("/own", server.url).href }),
      await token(own, (jwt) => jwt, { kid: "first", jwk: own.jwk }),
    ];
    const authenticator = open();
    for (const text of texts) await expect(ask(authenticator, text)).rejects.toEqual(refused("token-refused"));
    expect(asked).toBe(1);
  });
});

/** Signed by hand: a library refuses to. */
function shortRsaToken(key: KeyObject): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(clock.now() / 1000) + 3600;
  const body = `${part({ alg: "RS256", kid: "short" })}.${part({ iss: issuer, sub: "build", aud: audience, exp })}`;
  return `${body}.${sign("sha256", Buffer.from(body), key).toString("base64url")}`;
}

describe("keys in a file", () => {
  let directory = "";
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "jwks-"));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test("are read again when they change, and stay in use when they break", async () => {
    const file = join(directory, "keys.json");
    writeFileSync(file, setOf(first));
    const authenticator = open({ keys: { file } });
    expect(await ask(authenticator, await token(first))).toMatchObject(believed);
    writeFileSync(file, setOf(second));
    await clock.advance(5000);
    await expect(ask(authenticator, await token(first))).rejects.toEqual(refused("token-refused"));
    expect(await ask(authenticator, await token(second))).toMatchObject(believed);
    writeFileSync(file, "{");
    await clock.advance(5000);
    expect(await ask(authenticator, await token(second))).toMatchObject(believed);
    expect(failures.map(({ message }) => message)).toEqual([expect.stringMatching(/keys\.json: not JSON/)]);
  });
});
