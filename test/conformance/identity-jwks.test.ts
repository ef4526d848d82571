import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCaSource, initAuthority, SpiffeId } from "@selvage/tls-identity";
import { startWebServer } from "@selvage/tls-identity/testing";
import { SignJWT } from "jose";
import { afterEach, beforeEach, expect, test } from "vitest";
import { bundle, Program } from "../chaos/program.js";
import { metric } from "./identity-load.js";

const trustDomain = "prod.example";
const id = SpiffeId.parse(`spiffe://${trustDomain}/ci/storefront`);

let directory = "";
const stops: (() => unknown)[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "identity-jwks-"));
  await bundle();
  await initAuthority({ directory: path("authority"), trustDomain });
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);

async function serve(jwks: string, ca = ""): Promise<{ port: string; admin: string; program: Program }> {
  const rules = [{ kind: "jwt", match: { subject: "repo:shop/storefront" }, id: id.toString() }];
  writeFileSync(path("rules.json"), JSON.stringify({ rules }));
  writeFileSync(path("web.pem"), ca);
  const flags = {
    directory: path("authority"),
    port: "0",
    "admin-port": "0",
    host: "127.0.0.1",
    rules: path("rules.json"),
    audit: path("audit.log"),
    jwks,
    issuer: "https://ci.example",
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value]);
  const program = new Program("selvage", ["identity", "serve", ...args], { NODE_EXTRA_CA_CERTS: path("web.pem") });
  stops.push(async () => {
    program.signal("SIGKILL");
    await program.exited;
  });
  await program.written(/serves on port/);
  const [, port = "", admin = ""] = /serves on port (\d+) .*admin (\S+)/.exec(program.stderr) ?? [];
  return { port, admin, program };
}

/** A workload that shows a token, until it has its identity or is refused. */
async function ask(port: string, token: string): Promise<string> {
  writeFileSync(path("token"), token);
  const source = createCaSource({
    address: `https://127.0.0.1:${port}`,
    id,
    serverId: SpiffeId.parse(`spiffe://${trustDomain}/ns/selvage/sa/identity`),
    token: path("token"),
    bundle: path("authority/bundle.pem"),
  });
  try {
    const refused = new Promise<string>((resolve) => source.onFailure((error) => resolve(error.message)));
    return await Promise.race([refused, source.ready().then((snapshot) => snapshot.id.toString())]);
  } finally {
    source.close();
  }
}

function sign(key: ReturnType<typeof generateKeyPairSync>["privateKey"], kid: string): Promise<string> {
  return new SignJWT({})
    .setProtectedHeader({ alg: "ES256", kid })
    .setIssuer("https://ci.example")
    .setSubject("repo:shop/storefront")
    .setAudience("identity.l5d.io")
    .setExpirationTime("1h")
    .sign(key);
}

const audited = () =>
  readFileSync(path("audit.log"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test("selvage identity serve believes tokens by the keys at a URL, and no others", async () => {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const jwk = { ...keys.publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256" };
  const web = await startWebServer((_request, response) => response.end(JSON.stringify({ keys: [jwk] })));
  stops.push(() => web.close());
  const { port } = await serve(`${web.url}/keys`, web.ca);
  expect(await ask(port, await sign(keys.privateKey, "1"))).toBe(id.toString());
  expect(await ask(port, await sign(stranger.privateKey, "1"))).toMatch(/the JWT is refused: signature/);
  expect(await ask(port, await sign(stranger.privateKey, "2"))).toMatch(/the JWT is refused: no applicable key/);
  // Who is refused may have tried again.
  const [issued, ...others] = audited();
  expect(issued).toMatchObject({ outcome: "issued", caller: { kind: "jwt", subject: "repo:shop/storefront" } });
  expect(others.every(({ outcome, reason }) => outcome === "refused" && reason === "token-refused")).toBe(true);
  expect(others.at(-1)?.["detail"]).toMatch(/no applicable key/);
});

test("selvage identity serve starts without the keys at its URL, says so, and refuses", async () => {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { port, admin, program } = await serve("https://127.0.0.1:1/keys");
  await program.written(/identity-service\.keys-failed.*ECONNREFUSED/);
  expect(await (await fetch(`${admin}/ready`)).text()).toBe("ready\n");
  expect(await ask(port, await sign(keys.privateKey, "1"))).toMatch(/internal error/);
  expect(audited()[0]).toMatchObject({
    reason: "certify-failed",
    detail: expect.stringMatching(/no keys .*ECONNREFUSED/),
  });
  const page = await (await fetch(`${admin}/metrics`)).text();
  expect(metric(page, "selvage_identity_service_key_failures_total")).toBe(1);
});
