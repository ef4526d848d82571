import { describe, expect, test } from "vitest";
import { SpiffeId } from "../spiffe-id.js";
import { badIdentities } from "./bad-identities.js";
import { bakeLeaf } from "./bad-leaf.js";
import { verdictOfClient, verdictOfServer } from "./handshake.js";
import { createTestTrust, testPeerId } from "./test-trust.js";

const trust = createTestTrust();
const verifier = trust.snapshot(SpiffeId.parse("spiffe://a.example/ns/test/sa/verifier"), { federated: [trust.b] });

describe("bad identities", () => {
  test("are many, and differ", () => {
    expect(badIdentities.length).toBeGreaterThanOrEqual(60);
    expect(new Set(badIdentities.map((bad) => bad.name)).size).toBe(badIdentities.length);
  });

  test("differ from a good one only by their fault: the unaltered recipe is accepted", async () => {
    const peer = { material: bakeLeaf(trust) };
    expect(await verdictOfServer(verifier, peer)).toBe(`accepted ${testPeerId}`);
    expect(await verdictOfClient(verifier, testPeerId, peer)).toBe(`accepted ${testPeerId}`);
  });

  test.each(badIdentities.filter((bad) => bad.role !== "server"))("a server refuses: $name", async (bad) => {
    const verdict = await verdictOfServer(verifier, { material: bad.make(trust), tls: bad.tls });
    expect([bad.reason, ...(bad.alternatives ?? [])]).toContain(verdict);
  });

  test.each(badIdentities.filter((bad) => bad.role !== "client"))("a client refuses: $name", async (bad) => {
    const verdict = await verdictOfClient(verifier, testPeerId, { material: bad.make(trust), tls: bad.tls });
    expect([bad.reason, ...(bad.alternatives ?? [])]).toContain(verdict);
  });
});
