import { generateKeyPairSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { MeshOptions } from "@selvage/core";
import { createJoinToken, initAuthority, SpiffeId } from "@selvage/tls-identity";
import { SignJWT } from "jose";
import { bundle, Program } from "../chaos/program.js";
import { listen } from "./meshed-ends.js";

export const trustDomain = "prod.example";
export const serviceId = (name: string) => `spiffe://${trustDomain}/ns/test/sa/${name}`;

/** An authority with an identity service in a process of its own, which can be killed and started again. */
export class Authority {
  readonly directory: string;
  readonly #ports: { readonly service: number; readonly admin: number };
  readonly #env: Readonly<Record<string, string>>;
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  #running: Program | null = null;

  private constructor(
    directory: string,
    ports: { readonly service: number; readonly admin: number },
    env: Readonly<Record<string, string>>,
  ) {
    this.directory = directory;
    this.#ports = ports;
    this.#env = env;
  }

  /** `directory` is an empty one; `lifetime` is that of leaves; `env` is that of the service. */
  static async start(
    directory: string,
    lifetime: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<Authority> {
    await bundle();
    const authority = new Authority(directory, { service: await freePort(), admin: await freePort() }, env);
    const path = (name: string) => join(directory, name);
    await initAuthority({ directory: path("authority"), trustDomain });
    const jwk = authority.#keys.publicKey.export({ format: "jwk" });
    writeFileSync(path("jwks.json"), JSON.stringify({ keys: [{ ...jwk, kid: "1", alg: "ES256" }] }));
    const rules = [{ kind: "jwt", match: { workload: "*" }, id: `spiffe://${trustDomain}/ns/test/sa/{workload}` }];
    writeFileSync(path("rules.json"), JSON.stringify({ rules }));
    const config = {
      directory: "authority",
      host: "127.0.0.1",
      port: authority.#ports.service,
      rules: "rules.json",
      jwt: [{ issuer: "https://ci.example", keys: "jwks.json" }],
      lifetime,
      audit: "audit.log",
      admin: { port: authority.#ports.admin },
    };
    // JSON is YAML.
    writeFileSync(path("serve.yaml"), JSON.stringify(config));
    await authority.serve();
    return authority;
  }

  /** For `rotateIssuer` and `rotateRoot`. */
  get where(): { readonly directory: string; readonly trustDomain: string } {
    return { directory: join(this.directory, "authority"), trustDomain };
  }

  async serve(): Promise<void> {
    const args = ["identity", "serve", "--config", join(this.directory, "serve.yaml")];
    this.#running = new Program("selvage", args, this.#env);
    await this.#running.written(/serves on port/);
  }

  /** Without any farewell. */
  async kill(): Promise<void> {
    this.#running?.signal("SIGKILL");
    await this.#running?.exited;
    this.#running = null;
  }

  async page(name: "metrics" | "ready"): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#ports.admin}/${name}`)).text();
  }

  /** PEM. */
  bundle(): string {
    return readFileSync(join(this.directory, "authority/bundle.pem"), "utf8");
  }

  /** How many certificates were issued for a workload. */
  issuedTo(name: string): number {
    const lines = readFileSync(join(this.directory, "audit.log"), "utf8").trim().split("\n");
    const audited = lines.map((line) => JSON.parse(line) as { readonly outcome: string; readonly identity: string });
    return audited.filter(({ outcome, identity }) => outcome === "issued" && identity === serviceId(name)).length;
  }

  /** Gives a workload a join token, which serves once. */
  async joinToken(name: string): Promise<void> {
    const terms = { id: SpiffeId.parse(serviceId(name)), now: Date.now(), lifetimeMs: 60_000 };
    writeFileSync(this.#token(name), await createJoinToken(join(this.directory, "authority/join-tokens"), terms));
  }

  /** Gives a workload a token as a CI system would sign it. */
  async jwt(name: string): Promise<void> {
    const token = await new SignJWT({ workload: name })
      .setProtectedHeader({ alg: "ES256", kid: "1" })
      .setIssuer("https://ci.example")
      .setSubject(`build of ${name}`)
      .setAudience("identity.l5d.io")
      .setExpirationTime("1h")
      .sign(this.#keys.privateKey);
    writeFileSync(this.#token(name), token);
  }

  /** How a workload with a token finds the service. */
  sourceOf(name: string): { readonly address: string; readonly token: string; readonly bundle: string } {
    return {
      address: `127.0.0.1:${this.#ports.service}`,
      token: this.#token(name),
      bundle: join(this.directory, "authority/bundle.pem"),
    };
  }

  optionsOf(name: string): MeshOptions {
    return {
      workload: { name, namespace: "test", trustDomain },
      identity: { source: "ca", ...this.sourceOf(name) },
    };
  }

  #token(name: string): string {
    return join(this.directory, `${name}.token`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}
