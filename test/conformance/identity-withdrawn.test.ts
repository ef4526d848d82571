import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { clientTlsOptions, SpiffeId } from "@selvage/tls-identity";
import { createTestTrust, type FakeAgent, startFakeAgent } from "@selvage/tls-identity/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { idOf } from "./identity-files.js";
import { meshedKinds, refusedPeers, startServing } from "./meshed-ends.js";

/** An agent withdraws the bundle of a trust domain: each message is the whole state, and what is absent is revoked. */
const trust = createTestTrust();
const app = SpiffeId.parse(idOf("app"));
let directory = "";
let agent: FakeAgent;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "identity-withdrawn-"));
  agent = await startFakeAgent(join(directory, "agent.sock"));
});
afterAll(async () => {
  await agent.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A connection that stays open, with the first answer on it. */
async function open(
  address: string,
  id: string,
): Promise<{ socket: TLSSocket; answer: string; closed: Promise<void> }> {
  const [host, port] = address.split(":") as [string, string];
  const own = trust.snapshot(SpiffeId.parse(id), { federated: [trust.a] });
  const socket = connect({ host, port: Number(port), ...clientTlsOptions(own, app) });
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  return { socket, closed, answer: await ask(socket) };
}

/** The status line of an answer; empty if there is none. */
function ask(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    socket.once("data", (data: Buffer) => resolve(data.toString("latin1").split("\r\n")[0]!));
    socket.once("close", () => resolve(""));
    socket.write("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
  });
}

describe.each(meshedKinds)("a port of the %s", (kind) => {
  test("ends the connections of a trust domain when its bundle is withdrawn, and no others", async () => {
    agent.push([trust.snapshot(app, { federated: [trust.b] })]);
    const options = {
      workload: { name: "app", namespace: "test", trustDomain: "a.example" },
      identity: { source: "spiffe", socket: agent.address },
      drain: { timeout: "10ms" },
    } as const;
    const server = await startServing(kind, options, (_req, res) => res.end("served"));
    try {
      const foreign = await open(server.address, "spiffe://b.example/partner");
      const own = await open(server.address, idOf("peer"));
      expect([foreign.answer, own.answer]).toEqual(["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"]);
      agent.push([trust.snapshot(app)]);
      await foreign.closed;
      expect(await ask(own.socket)).toBe("HTTP/1.1 200 OK");
      expect((await open(server.address, "spiffe://b.example/partner")).answer).toBe("");
      expect([...refusedPeers(await server.metrics()).keys()]).toContain("bundle-missing");
      agent.push([trust.snapshot(app, { federated: [trust.b] })]);
      await expect
        .poll(async () => (await open(server.address, "spiffe://b.example/partner")).answer)
        .toBe("HTTP/1.1 200 OK");
      own.socket.destroy();
    } finally {
      await server.stop();
    }
  });
});
