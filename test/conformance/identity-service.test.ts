import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshOptions } from "@selvage/core";
import { type IdentityServiceProcess, loadIdentityServiceConfig, startIdentityService } from "@selvage/core/spi";
import { createJoinToken, initAuthority, rotateIssuer, rotateRoot, SpiffeId } from "@selvage/tls-identity";
import { createTestTrust } from "@selvage/tls-identity/testing";
import { SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { idOf } from "./identity-files.js";
import { Load, metric, sleep, until } from "./identity-load.js";
import {
  type CallingEnd,
  listen,
  type MeshedKind,
  type ServingEnd,
  startCalling,
  startServing,
} from "./meshed-ends.js";

const trustDomain = "prod.example";
const serviceId = (name: string) => `spiffe://${trustDomain}/ns/test/sa/${name}`;
const rotations = 'selvage_identity_rotations_total{result="ok"}';

let directory = "";
const stops: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "identity-service-"));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);

async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** An authority with a service that can be killed and started again, for tests with lifetimes of seconds. */
class Authority {
  readonly port: number;
  readonly #lifetime: string;
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  #running: IdentityServiceProcess | null = null;

  private constructor(port: number, lifetime: string) {
    this.port = port;
    this.#lifetime = lifetime;
  }

  static async start(lifetime: string): Promise<Authority> {
    await initAuthority({ directory: path("authority"), trustDomain });
    const authority = new Authority(await freePort(), lifetime);
    const jwk = authority.#keys.publicKey.export({ format: "jwk" });
    writeFileSync(path("jwks.json"), JSON.stringify({ keys: [{ ...jwk, kid: "1", alg: "ES256" }] }));
    const rules = [{ kind: "jwt", match: { workload: "*" }, id: `spiffe://${trustDomain}/ns/test/sa/{workload}` }];
    writeFileSync(path("rules.json"), JSON.stringify({ rules }));
    await authority.serve();
    stops.push(() => authority.kill());
    return authority;
  }

  async serve(): Promise<void> {
    const options = {
      directory: path("authority"),
      host: "127.0.0.1",
      port: this.port,
      rules: path("rules.json"),
      jwt: [{ issuer: "https://ci.example", keys: path("jwks.json") }],
      lifetime: this.#lifetime,
      audit: path("audit.log"),
      admin: { port: 0 },
    };
    this.#running = await startIdentityService(await loadIdentityServiceConfig(options, null, directory), () => {});
  }

  async kill(): Promise<void> {
    await this.#running?.close();
    this.#running = null;
  }

  async page(name: "metrics" | "ready"): Promise<string> {
    return await (await fetch(`${this.#running?.adminAddress}/${name}`)).text();
  }

  async joinToken(name: string): Promise<void> {
    const terms = { id: SpiffeId.parse(serviceId(name)), now: Date.now(), lifetimeMs: 60_000 };
    writeFileSync(path(`${name}.token`), await createJoinToken(path("authority/join-tokens"), terms));
  }

  async jwt(name: string): Promise<void> {
    const token = await new SignJWT({ workload: name })
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .setIssuer("https://ci.example")
      .setSubject(`build of ${name}`)
      .setAudience("identity.l5d.io")
      .setExpirationTime("1h")
      .sign(this.#keys.privateKey);
    writeFileSync(path(`${name}.token`), token);
  }

  optionsOf(name: string): MeshOptions {
    return {
      workload: { name, namespace: "test", trustDomain },
      identity: {
        source: "ca",
        address: `127.0.0.1:${this.port}`,
        token: path(`${name}.token`),
        bundle: path("authority/bundle.pem"),
      },
    };
  }
}

interface Pair {
  readonly app: ServingEnd;
  readonly caller: CallingEnd;
}

async function startPair(
  kinds: { readonly app: MeshedKind; readonly caller: MeshedKind },
  optionsOf: (name: string) => MeshOptions,
  identity: string,
): Promise<Pair> {
  const app = await startServing(kinds.app, optionsOf("app"), (_req, res) => res.end("served"));
  stops.push(() => app.stop());
  const services = { "app.test": { endpoints: [{ address: app.address, identity }] } };
  const caller = await startCalling(kinds.caller, { ...optionsOf("caller"), outbound: { services } });
  stops.push(() => caller.stop());
  return { app, caller };
}

const both = { app: "shim", caller: "sdk" } as const;
const load = ({ caller }: Pair) =>
  new Load(
    [1, 2, 3].map(() => caller.client("app.test")),
    10,
  );
const rotated = async (end: ServingEnd | CallingEnd) => metric(await end.metrics(), rotations);

describe("two workloads of an identity service", () => {
  test("lose no request while it is away for more than half of a certificate's life", async () => {
    const authority = await Authority.start("12s");
    await authority.joinToken("app");
    await authority.jwt("caller");
    const pair = await startPair(both, (name) => authority.optionsOf(name), serviceId("app"));
    const running = load(pair);
    await authority.kill();
    await sleep(7000);
    await authority.serve();
    await until(async () => (await rotated(pair.app)) > 0 && (await rotated(pair.caller)) > 0);
    const { served, failures } = await running.stop();
    expect([...failures]).toEqual([]);
    expect(served).toBeGreaterThan(100);
    expect(metric(await pair.caller.metrics(), 'selvage_identity_rotations_total{result="error"}')).toBeGreaterThan(0);
    expect(await authority.page("ready")).toBe("ready\n");
    expect(metric(await authority.page("metrics"), "selvage_identity_service_issued_total")).toBeGreaterThanOrEqual(2);
  });

  test("raise alarms, then refuse, then come back by themselves when it is away for longer than that life", async () => {
    const authority = await Authority.start("4s");
    await authority.jwt("app");
    await authority.jwt("caller");
    const pair = await startPair(both, (name) => authority.optionsOf(name), serviceId("app"));
    const client = pair.caller.client("app.test");
    expect((await client.send({ path: "/" })).status).toBe(200);
    await authority.kill();
    for (const left of ["50", "25", "10"]) {
      await until(async () => metric(await pair.caller.metrics(), `selvage_identity_alarms_total{left="${left}"}`) > 0);
    }
    await until(async () => metric(await pair.caller.metrics(), "selvage_identity_expires_seconds") < -1);
    expect((await client.send({ path: "/" })).status).toBeGreaterThanOrEqual(502);
    await authority.serve();
    await until(async () => (await client.send({ path: "/" })).status === 200);
  });

  test("lose no request while issuer and root are changed, without a restart", async () => {
    const authority = await Authority.start("5s");
    await authority.joinToken("app");
    await authority.jwt("caller");
    const pair = await startPair(both, (name) => authority.optionsOf(name), serviceId("app"));
    const where = { directory: path("authority"), trustDomain };
    const running = load(pair);
    /** A snapshot that was published after now: with the bundle and the issuer of now. */
    const renewed = async () => {
      const before = await Promise.all([rotated(pair.app), rotated(pair.caller)]);
      await until(async () => {
        const now = await Promise.all([rotated(pair.app), rotated(pair.caller)]);
        return now.every((count, index) => count >= before[index]! + 2);
      });
    };
    await rotateIssuer(where);
    await renewed();
    await rotateRoot(where, { step: "prepare" });
    await renewed();
    await rotateRoot(where, { step: "activate" });
    await renewed();
    await sleep(5000);
    // Leaves live for seconds here, which is less than the reserve for clocks that are behind.
    await rotateRoot({ ...where, now: () => Date.now() + 120_000 }, { step: "finish", leafLifetimeMs: 5000 });
    await renewed();
    const { served, failures } = await running.stop();
    expect([...failures]).toEqual([]);
    expect(served).toBeGreaterThan(100);
  });
});

describe("two workloads with files of somebody else's", () => {
  test.each([both, { app: "sdk", caller: "shim" } as const])(
    "lose no request over swaps of ..data (%o)",
    async (kinds) => {
      const trust = createTestTrust();
      /** As the kubelet does it. */
      const publish = (name: string, version: number) => {
        const { cert, key, bundle } = trust.files(SpiffeId.parse(idOf(name)));
        mkdirSync(path(`${name}/..${version}`), { recursive: true });
        for (const [file, text] of Object.entries({ "tls.crt": cert, "tls.key": key, "ca.crt": bundle })) {
          writeFileSync(path(`${name}/..${version}/${file}`), text, { mode: 0o600 });
          if (version === 0) symlinkSync(`..data/${file}`, path(`${name}/${file}`));
        }
        symlinkSync(`..${version}`, path(`${name}/..data_tmp`));
        renameSync(path(`${name}/..data_tmp`), path(`${name}/..data`));
        if (version > 0) rmSync(path(`${name}/..${version - 1}`), { recursive: true });
      };
      const optionsOf = (name: string): MeshOptions => {
        publish(name, 0);
        const at = (file: string) => path(`${name}/${file}`);
        return {
          workload: { name, namespace: "test", trustDomain: "a.example" },
          identity: { source: "files", cert: at("tls.crt"), key: at("tls.key"), bundle: at("ca.crt") },
        };
      };
      const pair = await startPair(kinds, optionsOf, idOf("app"));
      const running = load(pair);
      for (let version = 1; version <= 8; version++) {
        publish("app", version);
        publish("caller", version);
        await until(async () => (await rotated(pair.app)) >= version && (await rotated(pair.caller)) >= version);
      }
      const { served, failures } = await running.stop();
      expect([...failures]).toEqual([]);
      expect(served).toBeGreaterThan(8);
    },
  );
});
