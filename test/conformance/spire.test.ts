import type { MeshOptions } from "@selvage/core";
import { expect, test } from "vitest";
import { Load, metric, until } from "./identity-load.js";
import { startCalling, startServing } from "./meshed-ends.js";
import { Spire, spirePrograms, spireTrustDomain } from "./spire.js";

const programs = spirePrograms();
if (programs === null) console.info("skipped: spire-server and spire-agent are neither in SPIRE_BIN nor in the path");

const idOf = (name: string) => `spiffe://${spireTrustDomain}/ns/test/sa/${name}`;
const rotations = 'selvage_identity_rotations_total{result="ok"}';
const svidSeconds = 20;

test.skipIf(programs === null)(
  "two workloads of SPIRE agents talk, and lose no request while their SVIDs rotate",
  { timeout: 180_000 },
  async () => {
    const spire = new Spire(programs!);
    try {
      await spire.start();
      const optionsOf = async (name: string): Promise<MeshOptions> => ({
        workload: { name, namespace: "test", trustDomain: spireTrustDomain },
        identity: { source: "spiffe", socket: await spire.agentFor(name, idOf(name), svidSeconds) },
      });
      const app = await startServing("shim", await optionsOf("app"), (_req, res) => res.end("served"));
      const services = { "app.test": { endpoints: [{ address: app.address, identity: idOf("app") }] } };
      const caller = await startCalling("sdk", { ...(await optionsOf("caller")), outbound: { services } });
      const load = new Load(
        [1, 2].map(() => caller.client("app.test")),
        20,
      );
      const rotated = async () => {
        const pages = await Promise.all([app.metrics(), caller.metrics()]);
        return Math.min(...pages.map((page) => metric(page, rotations)));
      };
      await until(async () => (await rotated()) >= 3);
      const { served, failures } = await load.stop();
      await caller.stop();
      await app.stop();
      expect([...failures]).toEqual([]);
      expect(served).toBeGreaterThan(50);
    } finally {
      await spire.stop();
    }
  },
);
