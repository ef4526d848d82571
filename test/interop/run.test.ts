import { existsSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { type Mesh, peerOf } from "@selvage/core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Meshes } from "./meshes.js";
import { describeWith, Program } from "./programs.js";

const root = resolve(import.meta.dirname, "../..");
const cli = join(root, "packages/proxy-shim/dist/cli.cjs");
const slowServer = join(import.meta.dirname, "programs/slow-server.mjs");
const meshes = new Meshes();
const running: Program[] = [];
let caller: Mesh;

beforeAll(async () => {
  if (!existsSync(cli)) throw new Error(`${cli} isn't there: these tests run what is built. Run npm run build first.`);
  caller = await meshes.server({
    workload: { name: "caller" },
    outbound: { queue: { failFast: "300ms" }, defaults: { timeout: "10s" } },
  });
});
afterAll(() => meshes.stop());
afterEach(async () => {
  for (const program of running.splice(0)) await program.stop();
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as { port: number };
  await new Promise((closed) => server.close(closed));
  return port;
}

interface Ports {
  readonly app: number;
  readonly mesh: number;
  readonly admin: number;
}

async function ports(): Promise<Ports> {
  return { app: await freePort(), mesh: await freePort(), admin: await freePort() };
}

/** `selvage run` in the state directory of these tests. */
function selvage(flags: readonly string[], command: readonly string[], env: NodeJS.ProcessEnv = {}): Program {
  const program = new Program(process.execPath, [cli, "run", ...flags, "--", ...command], {
    cwd: meshes.stateDir,
    detached: true,
    env: { ...process.env, NODE_ENV: "", NODE_OPTIONS: "", SELVAGE_STATE_DIR: meshes.stateDir, ...env },
  });
  running.push(program);
  return program;
}

const calling = (...command: string[]) =>
  selvage(["--no-inbound", "--admin-port", "0", "--outbound-port", "0"], command);

function serving(name: string, { app, mesh, admin }: Ports, ...command: string[]): Program {
  const flags = ["--name", name, "--app", `${app}`, "--port", `${mesh}`, "--admin-port", `${admin}`];
  return selvage([...flags, "--outbound-port", "0"], command);
}

/** Asks until the answer is as wanted. */
async function until<T>(ask: () => Promise<T>, wanted: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    await later(20);
  }
}

const statusOf = async (url: string): Promise<number> => {
  const response = await fetch(url).catch(() => null);
  await response?.arrayBuffer();
  return response?.status ?? 0;
};
const meshedStatusOf = async (url: string) => {
  const response = await caller.fetch(url);
  return { status: response.status, text: await response.text() };
};
const reached = (name: string) =>
  until(
    () => meshedStatusOf(`http://${name}/`),
    ({ status }) => status === 200,
  );

describe("selvage run: the program's end", () => {
  test.each([
    ["its exit code", ["sh", "-c", "exit 7"], 7],
    ["success", ["sh", "-c", ":"], 0],
    ["a signal, as shells do", ["sh", "-c", "kill -KILL $$"], 137],
  ])("passes on %s", async (_name, command, status) => {
    expect(await calling(...command).ended).toMatchObject({ status, stderr: "" });
  });

  test("says 127 and why, when the program can't be started", async () => {
    const { status, stderr } = await calling("/no/such/program").ended;
    expect(status).toBe(127);
    expect(stderr).toContain("can't start /no/such/program");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("passes on standard streams and arguments as they are", async () => {
    const program = calling(
      "sh",
      "-c",
      'read -r line; printf "%s" "$line"; printf "[%s]" "$@"; echo problem >&2',
      "sh",
      "--name",
      "a b",
      "",
    );
    program.child.stdin?.end("from standard input");
    expect(await program.ended).toMatchObject({
      status: 0,
      stdout: "from standard input[--name][a b][]",
      stderr: "problem\n",
    });
  });

  test("shows the program where its proxy and its port are", async () => {
    const { app, mesh, admin } = await ports();
    const print = "console.log(JSON.stringify(process.env))";
    const { stdout } = await serving("environment", { app, mesh, admin }, process.execPath, "-e", print).ended;
    const env = JSON.parse(stdout);
    expect(env.HTTP_PROXY).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(env).toMatchObject({ http_proxy: env.HTTP_PROXY, PORT: `${app}` });
    expect(env.NO_PROXY.split(",")).toContain("127.0.0.1");
    expect(env).not.toHaveProperty("HTTPS_PROXY", env.HTTP_PROXY);
  });

  test("is not waited for by callers when it never listens", async () => {
    const program = serving("silent", await ports(), "sh", "-c", "echo started; read line; exit 3");
    await program.printed(/started/);
    const { status, text } = await meshedStatusOf("http://silent/");
    expect(status).toBeGreaterThanOrEqual(500);
    expect(text).toContain("silent");
    program.child.stdin?.end("\n");
    expect(await program.ended).toMatchObject({ status: 3 });
  });
});

describe("selvage run: what is wrong from the start", () => {
  test("a configuration with an unknown field ends it with 78, before the program starts", async () => {
    const file = join(meshes.stateDir, "wrong.yaml");
    writeFileSync(file, "inbuond: { port: 1 }\n");
    const { status, stdout, stderr } = await selvage(["--config", file], ["echo", "started"]).ended;
    expect({ status, stdout }).toEqual({ status: 78, stdout: "" });
    expect(stderr).toMatch(/inbuond/);
    expect(stderr).toMatch(/inbound/);
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("the development authority in production ends it with 78", async () => {
    const { status, stdout, stderr } = await selvage(["--no-inbound"], ["echo", "started"], { NODE_ENV: "production" })
      .ended;
    expect({ status, stdout }).toEqual({ status: 78, stdout: "" });
    expect(stderr).toContain("production");
  });
});

describe("selvage run: signals", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("%s drains, then reaches the program", async (signal) => {
    const name = `slow-${signal.toLowerCase()}`;
    const numbers = await ports();
    const program = serving(name, numbers, process.execPath, slowServer);
    await program.printed(/listening/);
    await reached(name);
    const slow = meshedStatusOf(`http://${name}/slow`);
    await program.printed(/^slow$/m);

    program.child.kill(signal);
    await until(
      () => statusOf(`http://127.0.0.1:${numbers.admin}/ready`),
      (status) => status === 503,
    );
    // Soon nobody is sent there any more, and the program doesn't know yet.
    await until(
      () => meshedStatusOf(`http://${name}/`),
      ({ status }) => status >= 500,
    );
    expect(program.stdout).not.toContain("got");
    await fetch(`http://127.0.0.1:${numbers.app}/release`);
    expect(await slow).toEqual({ status: 200, text: "finished" });
    const { status, stdout } = await program.ended;
    expect({ status, stdout }).toEqual({ status: 9, stdout: `listening\nslow\ngot ${signal}\n` });
  });

  test("a second one doesn't wait for the drain", async () => {
    const numbers = await ports();
    const program = serving("stubborn", numbers, process.execPath, slowServer);
    await program.printed(/listening/);
    await reached("stubborn");
    const slow = meshedStatusOf("http://stubborn/slow");
    await program.printed(/^slow$/m);
    program.child.kill("SIGTERM");
    await until(
      () => statusOf(`http://127.0.0.1:${numbers.admin}/ready`),
      (status) => status === 503,
    );
    program.child.kill("SIGTERM");
    expect(await program.ended).toMatchObject({ status: 9 });
    expect((await slow).status).toBeGreaterThanOrEqual(500);
  });

  test("a program that waits for its connections to end isn't kept waiting", async () => {
    const numbers = await ports();
    const server = `
      const server = require("node:http2").createServer((_req, res) => res.end("ok"));
      server.listen(process.env.PORT, "127.0.0.1");
      process.on("SIGTERM", () => server.close(() => process.exit(9)));`;
    const flags = ["--name", "waiting", "--app", `${numbers.app}`, "--app-protocol", "h2", "--port", `${numbers.mesh}`];
    const command = [process.execPath, "-e", server];
    const program = selvage([...flags, "--admin-port", "0", "--outbound-port", "0"], command);
    await reached("waiting");
    program.child.kill("SIGTERM");
    expect(await program.ended).toMatchObject({ status: 9 });
  });

  test("a program that ends by itself is no longer found", async () => {
    const numbers = await ports();
    const program = serving("brief", numbers, process.execPath, slowServer);
    await program.printed(/listening/);
    await reached("brief");
    await fetch(`http://127.0.0.1:${numbers.app}/end`);
    expect(await program.ended).toMatchObject({ status: 4 });
    expect((await meshedStatusOf("http://brief/")).status).toBeGreaterThanOrEqual(500);
  });
});

describeWith("python3", ["--version"], "selvage run: examples/shim-python", () => {
  test("the program sees who calls, and calls others by name", async () => {
    const hello = await meshes.server({ workload: { name: "hello" } });
    const server = hello.createServer((req, res) => res.end(`hello, ${peerOf(req)}\n`));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { app, mesh } = await ports();
    const directory = join(root, "examples/shim-python");
    const flags = ["--config", join(directory, "selvage.yaml"), "--app", `${app}`, "--port", `${mesh}`];
    const program = selvage(
      [...flags, "--outbound-port", "0", "--admin-port", "0"],
      ["python3", join(directory, "app.py")],
    );
    await reached("python-app");
    const { text } = await meshedStatusOf("http://python-app/via-mesh");
    expect(JSON.parse(text)).toEqual({
      path: "/via-mesh",
      caller: "spiffe://dev.selvage/ns/default/sa/caller",
      hello: "hello, spiffe://dev.selvage/ns/default/sa/python-app",
    });
    program.child.kill("SIGTERM");
    expect(await program.ended).toMatchObject({ status: 143 });
  });
});
