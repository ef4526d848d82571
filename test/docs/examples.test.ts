import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, root, type Started, Workspace } from "./workspace.js";

/** What each example does, as child processes against the builds. The demo has a test of its own: it ends with 1 if it isn't as it claims. */
const tested = ["hello", "express", "fastify", "grpc", "policy", "shim-python", "demo"];

let workspace: Workspace;
beforeAll(() => {
  workspace = new Workspace();
});
afterAll(() => workspace.remove());

const directory = (example: string) => join(root, "examples", example);

/** Starts a script of an example, in its directory, in the mesh of this test. */
function start(example: string, script: string, env: NodeJS.ProcessEnv = {}): Started {
  const mesh = { SELVAGE_STATE_DIR: join(workspace.directory, ".selvage"), SELVAGE_ADMIN: "false" };
  return workspace.start(process.execPath, [script], { cwd: directory(example), env: { ...mesh, ...env } });
}

/** Sends one request as a workload of its own. */
async function ask(url: string, init: RequestInit = {}): Promise<{ status: number; body: string }> {
  const script = `
    import { createMesh } from "@selvage/core";
    const mesh = await createMesh({ workload: { name: "somebody" }, admin: false });
    const response = await mesh.fetch(${JSON.stringify(url)}, ${JSON.stringify(init)});
    console.log(JSON.stringify({ status: response.status, body: await response.text() }));
    await mesh.close();`;
  const run = await workspace.run(process.execPath, ["--input-type=module", "-e", script]);
  expect(run).toMatchObject({ status: 0, stderr: "" });
  return JSON.parse(run.stdout);
}

const somebody = "spiffe://dev.selvage/ns/default/sa/somebody";

test("every example is tested here", () => {
  expect(
    readdirSync(join(root, "examples"), { withFileTypes: true })
      .filter((one) => one.isDirectory())
      .map(({ name }) => name)
      .sort(),
  ).toEqual([...tested].sort());
});

describe("hello", () => {
  test("the client gets an answer from a server that knows who it is, and both end when they are told", async () => {
    const server = start("hello", "server.mjs");
    await server.printed("hello is up");
    const client = await start("hello", "client.mjs").ended;
    expect(client).toEqual({
      status: 0,
      stdout: "200 hello, spiffe://dev.selvage/ns/default/sa/greeter\n",
      stderr: "",
    });
    expect(await server.stop()).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("express", () => {
  test("its handlers see the peer, parse bodies as ever, and refuse who has no identity", async () => {
    const port = await freePort();
    const server = start("express", "server.mjs", { PORT: String(port) });
    await server.printed("orders is up");
    expect(await ask("http://orders/whoami")).toEqual({ status: 200, body: JSON.stringify({ you: somebody }) });
    const order = { method: "POST", headers: { "content-type": "application/json" }, body: '{"item":7}' };
    expect(await ask("http://orders/orders", order)).toEqual({
      status: 201,
      body: JSON.stringify({ ordered: { item: 7 }, by: somebody }),
    });
    expect((await fetch(`http://127.0.0.1:${port}/whoami`)).status).toBe(403);
    expect(await server.stop()).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("fastify", () => {
  test("it serves through its serverFactory, and its handlers see the peer", async () => {
    const server = start("fastify", "server.mjs");
    await server.printed("catalog is up");
    expect(await ask("http://catalog/items/7")).toEqual({
      status: 200,
      body: JSON.stringify({ id: "7", askedBy: somebody }),
    });
    expect(await server.stop()).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("grpc", () => {
  test("a grpc-js client reaches a grpc-js server, which knows who calls", async () => {
    const server = start("grpc", "server.mjs");
    await server.printed("greeter is up");
    const client = await start("grpc", "client.mjs").ended;
    expect(client.stdout.trim()).toBe("hello world, you are spiffe://dev.selvage/ns/default/sa/caller");
    expect(client.status).toBe(0);
    expect(await server.stop()).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("policy", () => {
  test("who is allowed is answered, everybody and everything else is refused with the reason", async () => {
    const { stdout, status } = await start("policy", "main.mjs").ended;
    const denied = (name: string, why: string) =>
      `spiffe://dev.selvage/ns/bank/sa/${name} is denied by the default "deny": ${why}`;
    expect(stdout.trim().split("\n")).toEqual([
      "teller GET → 200 balance: 7",
      `teller DELETE → 403 ${denied("teller", "no rule about it matches")}`,
      `visitor GET → 403 ${denied("visitor", "no rule is about it")}`,
      `visitor DELETE → 403 ${denied("visitor", "no rule is about it")}`,
    ]);
    expect(status).toBe(0);
  });
});

describe("shim-python", () => {
  const hasPython = spawnSync("python3", ["-c", "import http.server"]).status === 0;
  if (!hasPython) console.warn("examples/shim-python is not tested: there is no python3 here");

  test.skipIf(!hasPython)(
    "a Python program is called with the caller's identity, and calls by name with its own",
    async () => {
      const server = start("hello", "server.mjs");
      await server.printed("hello is up");
      const app = await freePort();
      const env = {
        SELVAGE_STATE_DIR: join(workspace.directory, ".selvage"),
        SELVAGE_ADMIN: "false",
        SELVAGE_INBOUND_PORT: "0",
        SELVAGE_OUTBOUND_PORT: "0",
      };
      const args = ["selvage", "run", "--config", "selvage.yaml", "--app", String(app), "--", "python3", "app.py"];
      const shim = workspace.start("npx", args, { cwd: directory("shim-python"), env });
      // Until the program listens its name is unknown, which is said at once.
      await expect
        .poll(() => ask("http://python-app/who"), { timeout: 20_000, interval: 100 })
        .toEqual({
          status: 200,
          body: `${JSON.stringify({ path: "/who", caller: somebody }).replaceAll(/([:,])"/g, '$1 "')}\n`,
        });
      expect(JSON.parse((await ask("http://python-app/via-mesh")).body)).toEqual({
        path: "/via-mesh",
        caller: somebody,
        hello: "hello, spiffe://dev.selvage/ns/default/sa/python-app",
      });
      await Promise.all([shim.stop(), server.stop()]);
    },
  );
});
