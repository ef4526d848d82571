import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { Agent } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMesh } from "@selvage/core";
import { afterEach, beforeEach, expect, test } from "vitest";
import { call } from "./client.js";
import { calmRate, drive } from "./load.js";
import { bundle, endPrograms, Program, processedIn, programPath } from "./program.js";
import { percent, record } from "./results.js";

const mostPerSecond = 500;
/** More take longer: `CHAOS_RESTARTS=50 npm run chaos -- restarts`. */
const restarts = Number(process.env["CHAOS_RESTARTS"] ?? 10);
let stateDir = "";
let logs: string[] = [];

beforeEach(async () => {
  await bundle();
  stateDir = mkdtempSync(join(tmpdir(), "chaos-"));
  logs = [];
});

afterEach(async () => {
  await endPrograms();
  rmSync(stateDir, { recursive: true, force: true });
});

/** Starts a replica, and waits until others can find it. */
async function startReplica(kind: "sdk" | "shim"): Promise<Program> {
  const log = join(stateDir, `log${logs.length}`);
  logs.push(log);
  const env = { SELVAGE_STATE_DIR: stateDir, SELVAGE_ADMIN: "false", CHAOS_LOG: log };
  const program =
    kind === "sdk"
      ? new Program("replica", ["sdk", "app"], env)
      : new Program("selvage", await shimArguments(), { ...env, SELVAGE_DRAIN_TIMEOUT: "5s" });
  const ours = `${program.process.pid}-`;
  while (program.running) {
    if (registered().some((name) => name.startsWith(ours))) return program;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`the replica ended: ${program.stderr}`);
}

function registered(): string[] {
  try {
    return readdirSync(join(stateDir, "registry")).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
}

async function shimArguments(): Promise<string[]> {
  const ports = ["--app", String(await freePort()), "--port", "0", "--outbound-port", "0"];
  return ["run", "--name", "app", ...ports, "--", process.execPath, programPath("replica"), "app"];
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Sends a request, and ends what that took. */
async function startClient(kind: "sdk" | "shim") {
  const request = (i: number) => ({
    authority: "app.default",
    path: `/?id=${i}`,
    method: i % 2 === 0 ? "GET" : "POST",
    body: i % 2 === 0 ? "" : "a few bytes",
  });
  if (kind === "sdk") {
    const mesh = await createMesh({ workload: { name: "caller" }, stateDir, admin: false, log() {} });
    return { send: (i: number) => call({ ...request(i), agent: mesh.agent }), close: () => mesh.close() };
  }
  const program = new Program("selvage", ["shim", "--no-inbound", "--name", "caller", "--outbound-port", "0"], {
    SELVAGE_STATE_DIR: stateDir,
    SELVAGE_ADMIN: "false",
  });
  const [, port] = await program.written(/outbound http:\/\/127\.0\.0\.1:(\d+)/);
  const agent = new Agent({ keepAlive: true, maxSockets: 256 });
  return {
    send: (i: number) => call({ ...request(i), agent, proxyPort: Number(port) }),
    close: async () => {
      agent.destroy();
      program.signal("SIGTERM");
      await program.exited;
    },
  };
}

test.each(["sdk→sdk", "sdk→shim", "shim→sdk", "shim→shim"])("rolling restarts, %s", async (cell) => {
  const [clientKind, serverKind] = cell.split("→") as ["sdk" | "shim", "sdk" | "shim"];
  const running = [await startReplica(serverKind), await startReplica(serverKind), await startReplica(serverKind)];
  const client = await startClient(clientKind);
  try {
    const perSecond = await calmRate(mostPerSecond, client.send);
    let done = 0;
    let stopped = false;
    const ended: Promise<unknown>[] = [];
    const rolling = (async () => {
      while (done < restarts && !stopped) {
        const fresh = await startReplica(serverKind);
        const old = running.shift()!;
        running.push(fresh);
        old.signal("SIGTERM");
        ended.push(old.exited);
        done++;
      }
    })();
    const report = await drive({
      perSecond,
      seconds: Math.max(12, restarts * 2),
      send: client.send,
      until: rolling.then(() => Promise.all(ended)),
    });
    stopped = true;
    await rolling;
    const counts = processedIn(logs);
    const twice = [...counts].filter(([id, count]) => count > 1 && Number(id) % 2 === 1);
    record(`rolling restarts, ${cell}`, {
      offered: `${perSecond}/s, half of them POST, 3 replicas`,
      restarts: done,
      requests: report.sent,
      failed: report.failed.length,
      failures: report.failures,
      success: percent(report.successRate),
      postsProcessedTwice: twice.length,
      p50Ms: report.quantile(0.5),
      p99Ms: report.quantile(0.99),
    });
    expect(report.failures).toEqual({});
    // On a machine that is busy with other things, processes take long to start.
    expect(done).toBeGreaterThan(0);
    expect(twice).toEqual([]);
  } finally {
    await client.close();
  }
});
