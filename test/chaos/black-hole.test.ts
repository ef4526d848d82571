import { spawn } from "node:child_process";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { record, seen } from "./results.js";

let cell: MeshedCell | null = null;
let ends: (() => unknown)[] = [];

beforeEach(() => {
  ends = [];
});

afterEach(async () => {
  await cell?.close();
  for (const end of ends.reverse()) await end();
});

const authority = "app.test";
const limits = { timeout: "3s", connectTimeout: "500ms", retry: { limit: 2, perTryTimeout: "700ms" } };

/** A port that accepts and says nothing. */
async function silentPort(): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  ends.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));
}

/** A port that doesn't even answer a SYN: its process is stopped, and its queue of connections is full. `null`: can't be made here. */
async function blackHole(): Promise<number | null> {
  const program = `require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, function () { console.log(this.address().port) })`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  ends.push(() => child.kill("SIGKILL"));
  const port = await new Promise<number>((resolve) =>
    child.stdout!.once("data", (text: Buffer) => resolve(Number(text.toString()))),
  );
  child.kill("SIGSTOP");
  for (let i = 0; i < 10; i++) {
    const socket = connect({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    ends.push(() => socket.destroy());
    const open = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      setTimeout(() => resolve(false), 300);
    });
    if (!open) return port;
  }
  return null;
}

describe.each(cellNames)("%s", (name) => {
  test.each([
    ["a replica accepts connections and says nothing", silentPort],
    ["a replica answers no SYN", blackHole],
  ])("%s", async (what, makePort) => {
    cell = await MeshedCell.start(name);
    const replicas = await cell.start(2);
    const dead = await makePort();
    if (dead === null) return;
    const service = { ...listed([...replicas, { address: `127.0.0.1:${dead}` }]), ...limits };
    const caller = await cell.caller({ authority, outbound: { services: { [authority]: service } } });
    const perSecond = await caller.calmRate(500);
    const report = await caller.drive(perSecond, 5);
    const result = seen(report, cell.processedTwice());
    record(`black hole, ${what}, ${name}`, {
      offered: `${perSecond}/s for 5 s, half of them POST; the others of 3 replicas are well`,
      ...result,
    });
    // Nothing was sent there, so that everything may go elsewhere.
    expect(result.failures).toEqual({});
    expect(result.processedTwice).toBe(0);
  });

  test("a replica freezes with open connections, and comes back", async () => {
    cell = await MeshedCell.start(name);
    const replicas = await cell.start(3);
    const service = { ...listed(replicas), ...limits };
    const caller = await cell.caller({ authority, outbound: { services: { [authority]: service } } });
    const perSecond = await caller.calmRate(500);
    const frozen = replicas[0]!;
    const before = await frozen.requests();
    setTimeout(() => frozen.signal("SIGSTOP"), 1_000);
    setTimeout(() => frozen.signal("SIGCONT"), 5_000);
    const report = await caller.drive(perSecond, 8);
    const result = seen(report, cell.processedTwice());
    record(`frozen replica, ${name}`, {
      offered: `${perSecond}/s for 8 s, half of them POST; one of 3 replicas stopped from 1 s to 5 s`,
      ...result,
    });
    expect(await frozen.requests()).toBeGreaterThan(before);
    expect(result.failedGets).toBe(0);
    expect(result.processedTwice).toBe(0);
    expect(report.failed / report.sent).toBeLessThan(0.05);
  });
});
