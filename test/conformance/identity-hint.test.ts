import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MeshOptions } from "@selvage/core";
import { SpiffeId } from "@selvage/tls-identity";
import { createTestTrust, type FakeAgent, startFakeAgent } from "@selvage/tls-identity/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { idOf } from "./identity-files.js";
import { meshedKinds, startCalling, startServing } from "./meshed-ends.js";

/** Workloads of an agent that offers each of them two SVIDs. */
const trust = createTestTrust();
let directory = "";
let agent: FakeAgent;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "identity-hint-"));
  agent = await startFakeAgent(join(directory, "agent.sock"));
  const offered = ["internal", "external"].map((name) => trust.snapshot(SpiffeId.parse(idOf(name))));
  agent.push(offered, ["inside", "outside"]);
});
afterAll(async () => {
  await agent.close();
  rmSync(directory, { recursive: true, force: true });
});

const optionsOf = (name: string, choice: { id?: string; hint?: string }): MeshOptions => ({
  workload: { name, namespace: "test", trustDomain: "a.example" },
  identity: { source: "spiffe", socket: agent.address, ...choice },
});

describe.each(meshedKinds)("the %s", (kind) => {
  test.each<[string, { id?: string; hint?: string }]>([
    ["internal", {}],
    ["external", { hint: "outside" }],
    ["external", { id: idOf("external") }],
    ["internal", { id: idOf("internal"), hint: "inside" }],
  ])("is %s to its callers and to those that it calls with %o", async (name, choice) => {
    const app = await startServing(kind, optionsOf("app", choice), (req, res) => {
      res.end(req.headers["l5d-client-id"]);
    });
    // Whoever answers has to be who is expected.
    const services = { "app.test": { endpoints: [{ address: app.address, identity: idOf(name) }] } };
    const caller = await startCalling(kind, { ...optionsOf("caller", choice), outbound: { services } });
    try {
      const answer = await caller.client("app.test").send({ path: "/" });
      expect(answer).toMatchObject({ status: 200, text: idOf(name) });
    } finally {
      await caller.stop();
      await app.stop();
    }
  });
});
