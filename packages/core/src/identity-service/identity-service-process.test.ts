import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCaSource, initAuthority, SpiffeId } from "@selvage/tls-identity";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type IdentityServiceProcessOptions, loadIdentityServiceConfig } from "./identity-service-config.js";
import { startIdentityService } from "./identity-service-process.js";

const trustDomain = "prod.example";
const id = SpiffeId.parse(`spiffe://${trustDomain}/ns/shop/sa/storefront`);

let directory = "";
let logged: string[] = [];
const ends: (() => unknown)[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "identity-service-process-"));
  logged = [];
  await initAuthority({ directory: path("authority"), trustDomain });
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  rmSync(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);

async function start(options: IdentityServiceProcessOptions = {}) {
  const given = { directory: "authority", host: "127.0.0.1", port: 0, admin: { port: 0 }, ...options };
  const config = await loadIdentityServiceConfig(given, null, directory);
  const running = await startIdentityService(config, (_level, event, fields) => {
    logged.push(`${event} ${JSON.stringify(fields)}`);
  });
  ends.push(() => running.close());
  const page = async (name: string) => {
    const response = await fetch(`${running.adminAddress}/${name}`);
    return { status: response.status, text: await response.text() };
  };
  return { running, page };
}

/** Why a workload with this token is refused. */
async function refusalOf(port: number, token: string): Promise<string> {
  writeFileSync(path("token"), token);
  const source = createCaSource({
    address: `https://127.0.0.1:${port}`,
    id,
    serverId: SpiffeId.parse(`spiffe://${trustDomain}/ns/selvage/sa/identity`),
    token: path("token"),
    bundle: path("authority/bundle.pem"),
  });
  try {
    return await new Promise<string>((resolve) => source.onFailure((error) => resolve(error.message)));
  } finally {
    source.close();
  }
}

test("is not ready as long as its rules can't be read, says why, and is ready when they can", async () => {
  writeFileSync(path("rules.json"), '{"rule": []}');
  const { page } = await start({ rules: "rules.json" });
  expect(await page("live")).toMatchObject({ status: 200 });
  expect(await page("ready")).toMatchObject({ status: 503, text: expect.stringMatching(/rule is unknown/) });
  expect(logged.join("\n")).toMatch(/identity-service\.not-ready .*rule is unknown/);
  writeFileSync(path("rules.json"), '{"rules": []}');
  await expect.poll(async () => (await page("ready")).status).toBe(200);
  // What was good once stays in use.
  writeFileSync(path("rules.json"), "{");
  await expect
    .poll(async () => (await page("metrics")).text)
    .toMatch(/^selvage_identity_service_reload_failures_total [2-9]/m);
  expect(await page("ready")).toMatchObject({ status: 200 });
});

test("counts each refusal by its reason, and audits it without the token", async () => {
  const { running, page } = await start({ audit: "audit.log" });
  const token = `selvage-join.${"A".repeat(43)}`;
  expect(await refusalOf(running.port, token)).toMatch(/unknown, used or expired/);
  expect((await page("metrics")).text).toMatch(
    /^selvage_identity_service_refused_total\{reason="token-refused"\} \d+$/m,
  );
  await running.close();
  const audit = readFileSync(path("audit.log"), "utf8");
  const [line] = audit.trim().split("\n");
  expect(JSON.parse(line!)).toMatchObject({
    outcome: "refused",
    identity: id.toString(),
    caller: null,
    reason: "token-refused",
    detail: expect.stringMatching(/unknown, used or expired/),
  });
  expect(audit).not.toContain(token);
});

test("doesn't start with an issuer's key that others can read, and says what to run", async () => {
  chmodSync(path("authority/issuer.pem"), 0o644);
  await expect(start()).rejects.toThrow(/issuer\.pem is open to every user .* chmod 600 /);
});

test.each([
  ["http://ci.example/keys", /write "https:\/\/ci\.example\/keys", or the path of a file/],
  ["http://127.0.0.1/keys", /must not be plaintext/],
  ["https://", /must be an https URL or the path of a file/],
  ["https://user:secret@ci.example/keys", /must not have user or fragment.*write "https:\/\/ci\.example\/keys"/],
  ["keys.json", /cannot read .*keys\.json \(ENOENT\)/],
])("doesn't start with the keys of JWTs at %s", async (keys, message) => {
  await expect(start({ jwt: [{ issuer: "https://ci.example", keys }] })).rejects.toThrow(message);
});
