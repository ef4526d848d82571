import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ConfigError } from "../config/config-error.js";
import type { LogLevel } from "./log.js";
import { type CreateMeshOptions, createMesh, type Mesh, peerOf } from "./mesh.js";

let stateDir: string;
let meshes: Mesh[];
let logged: [LogLevel, string, Readonly<Record<string, unknown>>][];

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "mesh-"));
  meshes = [];
  logged = [];
});

afterEach(async () => {
  await Promise.all(meshes.map((mesh) => mesh.close()));
  rmSync(stateDir, { recursive: true, force: true });
});

async function joinMesh(name: string, options: CreateMeshOptions = {}): Promise<Mesh> {
  const mesh = await createMesh({
    workload: { name },
    stateDir,
    admin: false,
    drain: { timeout: "2s" },
    log: (...event) => void logged.push([event[0], event[1], event[2] ?? {}]),
    ...options,
  });
  meshes.push(mesh);
  return mesh;
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

test("two workloads without configuration find, believe and name each other", async () => {
  const hello = await joinMesh("hello");
  await listening(hello.createServer((req, res) => res.end(`${peerOf(req)} over ${req.httpVersion}`)));
  const greeter = await joinMesh("greeter");
  const response = await greeter.fetch("http://hello/");
  expect([response.status, await response.text()]).toEqual([
    200,
    "spiffe://dev.selvage/ns/default/sa/greeter over 1.1",
  ]);
  expect(greeter.id).toBe("spiffe://dev.selvage/ns/default/sa/greeter");
});

test("who is not there is said at once, and found later; a local service is waited for", async () => {
  const services = { "awaited.default": { endpoints: { local: true } } } as const;
  const greeter = await joinMesh("greeter", { outbound: { services } });
  const before = performance.now();
  const unknown = await greeter.fetch("http://hello/");
  expect([unknown.status, await unknown.text()]).toEqual([
    502,
    "no service hello: known are awaited.default; start it, or add it to outbound.services\n",
  ]);
  // Nothing waited for it: that would have been for 3 s.
  expect(performance.now() - before).toBeLessThan(2_000);
  const early = greeter.fetch("http://awaited/");
  for (const name of ["awaited", "hello"]) {
    const mesh = await joinMesh(name);
    await listening(mesh.createServer((_, res) => res.end(`${name} is here`)));
  }
  expect(await (await early).text()).toBe("awaited is here");
  expect(await (await greeter.fetch("http://hello/")).text()).toBe("hello is here");
});

test("a workload that closed is not called any more", async () => {
  const greeter = await joinMesh("greeter");
  const hello = await joinMesh("hello");
  await listening(hello.createServer((_, res) => res.end("here")));
  expect(await (await greeter.fetch("http://hello/")).text()).toBe("here");
  await hello.close();
  const late = await greeter.fetch("http://hello/", { signal: AbortSignal.timeout(10_000) });
  expect(late.status).toBe(504);
  expect(late.headers.get("l5d-proxy-error")).toContain("hello.default");
});

test("a caller without an identity is refused by default, and told why on loopback", async () => {
  const hello = await joinMesh("hello");
  const port = await listening(hello.createServer((_, res) => res.end("never")));
  const response = await fetch(`http://127.0.0.1:${port}/`);
  expect(response.status).toBe(403);
  expect(await response.text()).toContain("unauthenticated peer");
  expect(hello.metrics()).toContain('selvage_policy_verdicts_total{verdict="deny",rule="all-authenticated"} 1');
});

test("a server whose idle connections are closed goes on serving", async () => {
  const hello = await joinMesh("hello");
  const server = hello.createServer((_, res) => res.end("here"));
  await listening(server);
  const greeter = await joinMesh("greeter");
  for (let i = 0; i < 3; i++) {
    expect(await (await greeter.fetch("http://hello/")).text()).toBe("here");
    server.closeIdleConnections();
  }
});

test("close lets requests in flight finish, while the app can still call out", async () => {
  const back = await joinMesh("back");
  await listening(back.createServer((_, res) => res.end("from the back")));
  const front = await joinMesh("front");
  let arrived = () => {};
  const inFlight = new Promise<void>((resolve) => (arrived = resolve));
  let go = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  await listening(
    front.createServer(async (_, res) => {
      arrived();
      await gate;
      const answer = await front.fetch("http://back/");
      res.end(await answer.text());
    }),
  );
  const client = await joinMesh("client");
  const response = client.fetch("http://front/");
  await inFlight;
  const closed = front.close();
  go();
  expect(await (await response).text()).toBe("from the back");
  await closed;
});

test("a policy file is read again when it changes; a broken one leaves the last good one in force, and is reported", async () => {
  const file = join(stateDir, "policy.yaml");
  const rule = (name: string) => `{ name: r, action: allow, from: ["spiffe://dev.selvage/ns/default/sa/${name}"] }`;
  writeFileSync(file, `default: deny\nrules: [${rule("first")}]\n`);
  const hello = await joinMesh("hello", { inbound: { policy: { file } } });
  await listening(hello.createServer((_, res) => res.end("ok")));
  const [first, second] = [await joinMesh("first"), await joinMesh("second")];
  const statuses = async () => [
    (await first.fetch("http://hello/")).status,
    (await second.fetch("http://hello/")).status,
  ];
  expect(await statuses()).toEqual([200, 403]);

  writeFileSync(file, `default: deny\nrules: [${rule("second")}]\n`);
  await vi.waitFor(async () => expect(await statuses()).toEqual([403, 200]), { timeout: 5_000 });

  writeFileSync(file, "default: denyy\n");
  await vi.waitFor(() => expect(logged.map(([, event]) => event)).toContain("policy.rejected"), { timeout: 5_000 });
  const [, , fields] = logged.find(([, event]) => event === "policy.rejected")!;
  expect(String((fields["error"] as Error).message)).toMatch(/policy\.yaml.*denyy.*deny/s);
  expect(await statuses()).toEqual([403, 200]);
});

test("configuration errors name field, value and remedy, all at once", async () => {
  const wrong = createMesh({ stateDir, inbond: {}, admin: { port: 99_999 } } as CreateMeshOptions);
  await expect(wrong).rejects.toThrow(ConfigError);
  await expect(wrong).rejects.toThrow(/inbond.*inbound/s);
  await expect(wrong).rejects.toThrow(/admin\.port/);
});

test("the embedded default refuses production, and says what to configure", async () => {
  vi.stubEnv("NODE_ENV", "production");
  await expect(createMesh({ stateDir, admin: false })).rejects.toThrow(/identity\.source.*files/s);
  vi.unstubAllEnvs();
});

test("the admin port shows liveness, readiness with its blockers, metrics, configuration and state", async () => {
  const mesh = await joinMesh("seen", { admin: { port: 0 } });
  await listening(mesh.createServer((_, res) => res.end("ok")));
  const page = async (path: string) => {
    const response = await fetch(`${mesh.adminAddress}${path}`);
    return { status: response.status, text: await response.text() };
  };
  expect(await page("/live")).toEqual({ status: 200, text: "live\n" });
  expect(await page("/ready")).toEqual({ status: 200, text: "ready\n" });
  await (await mesh.fetch("http://seen/")).text();
  const metrics = (await page("/metrics")).text;
  expect(metrics).toMatch(/^http_client_request_duration_seconds_count\{server_address="seen\.default".* 1$/m);
  expect(metrics).toMatch(/^selvage_identity_expires_seconds 8\d{4}/m);
  expect(JSON.parse((await page("/config")).text)).toMatchObject({ workload: { name: "seen" } });
  expect(JSON.parse((await page("/state")).text)).toMatchObject({
    identity: "spiffe://dev.selvage/ns/default/sa/seen",
    targets: [{ authority: "seen.default", endpoints: [{ wire: "HTTP/2, TLS 1.3", state: "available" }] }],
  });
  expect((await page("/nothing")).status).toBe(404);
});

test("a default port that another workload has is no reason to fail in development; a configured one is", async () => {
  const first = await joinMesh("first", { admin: {} });
  const second = await joinMesh("second", { admin: {} });
  expect(second.adminAddress).not.toBe(first.adminAddress);
  const port = Number(new URL(first.adminAddress!).port);
  await expect(createMesh({ stateDir, admin: { port } })).rejects.toThrow(
    `admin.port: can't listen on 127.0.0.1:${port}`,
  );
});

test("node:http goes through the mesh by its agent", async () => {
  const hello = await joinMesh("hello");
  await listening(hello.createServer((req, res) => res.end(req.headers["l5d-client-id"])));
  const client = await joinMesh("client");
  const text = await new Promise((resolve, reject) => {
    get("http://hello/", { agent: client.agent }, (res) => {
      let body = "";
      res.setEncoding("utf8").on("data", (chunk) => (body += chunk));
      res.on("end", () => resolve(body));
    }).on("error", reject);
  });
  expect(text).toBe("spiffe://dev.selvage/ns/default/sa/client");
});
