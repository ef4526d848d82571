import { createDevSource, SpiffeId } from "@selvage/tls-identity";
import { afterEach, beforeEach, expect, test } from "vitest";
import { calmRate, capacity, drive, failureCounts, type LoadReport } from "./load.js";
import { appIdentity, cellNames, listed, MeshedCell } from "./meshed-cell.js";
import { leastLoaded, PickerMesh, type PickerMeshOptions, roundRobin } from "./picker-mesh.js";
import { bundle, endPrograms, Program } from "./program.js";
import type { Serving } from "./replica.js";
import { record, successOf } from "./results.js";

/** `CHAOS_SECONDS=30 CHAOS_RATE=1000 npm run chaos -- slow-backend` takes longer. */
const seconds = Number(process.env["CHAOS_SECONDS"] ?? 10);

beforeEach(() => bundle().then(() => {}));
afterEach(() => endPrograms());

/** 11 replicas, with the address of each. */
interface Replicas {
  readonly ports: readonly number[];
  readonly mutualTls?: NonNullable<PickerMeshOptions["mutualTls"]>;
  /** The first is slow from now on. */
  slow(): Promise<unknown>;
  close(): unknown;
}

async function plainReplicas(): Promise<Replicas> {
  const program = new Program("replica", ["app", "11"]);
  const { ports } = await program.message<Serving>();
  return { ports, slow: () => program.ask({ only: 0, delayMs: 2_000 }), close() {} };
}

async function meshedReplicas(): Promise<Replicas> {
  const cell = await MeshedCell.start("sdk→sdk");
  const replicas = await cell.start(11);
  const id = SpiffeId.parse("spiffe://dev.selvage/ns/default/sa/caller");
  const identity = createDevSource({ stateDir: cell.stateDir, id });
  await identity.ready();
  return {
    ports: replicas.map(({ address }) => Number(address.split(":")[1])),
    mutualTls: { identity, peer: appIdentity },
    slow: () => replicas[0]!.behave({ delayMs: 2_000 }),
    async close() {
      identity.close();
      await cell.close();
    },
  };
}

test.each([
  ["plain HTTP/1.1", plainReplicas],
  ["the library, over mutual TLS", meshedReplicas],
])(
  "one replica of 11 answers in 2 s, requests have 1 s, and any picker: %s",
  async (how, start) => {
    const { ports, mutualTls, slow, close } = await start();
    const mesh = (picker: ReturnType<typeof roundRobin> | null, ejects: boolean) =>
      new PickerMesh({ ports, ...(mutualTls && { mutualTls }), timeoutMs: 1_000, picker, ejects });
    const meshes = {
      "round robin": mesh(roundRobin(), false),
      "least loaded": mesh(leastLoaded(), false),
      "ours, without ejection": mesh(null, false),
      ours: mesh(null, true),
    };
    const names = Object.keys(meshes) as (keyof typeof meshes)[];
    try {
      const perSecond = calmRate(1_000, (await capacity(() => meshes.ours.get("/"))) / names.length);
      const all = (seconds: number) =>
        Promise.all(names.map((name) => drive({ perSecond, seconds, send: () => meshes[name].get("/") })));
      // Connections are open, latencies known and the programs warm when the one gets slow.
      await all(4);
      const before = names.map((name) => meshes[name].attempts);
      await slow();
      // Turn by turn in one run, so that all see the same machine.
      const reports = await all(seconds);
      const table = names.map((name, i) => {
        const report = reports[i] as LoadReport;
        const toSlow = (meshes[name].attempts[0] ?? 0) - (before[i]?.[0] ?? 0);
        return {
          picker: name,
          sent: report.sent,
          success: successOf(report),
          failed: report.failed,
          toTheSlowOne: toSlow,
          p99Ms: report.quantile(0.99),
        };
      });
      record(`slow replica, any picker, ${how}`, {
        offered: `4 × ${perSecond}/s for ${seconds} s; one replica of 11 in 2 s, the others in 5 ms; timeout 1 s`,
        table,
      });
      const [robin, least, bare, ours] = reports.map(({ sent, failed }) => 1 - failed / sent) as [
        number,
        number,
        number,
        number,
      ];
      expect(ours).toBeGreaterThan(0.998);
      expect(bare).toBeGreaterThan(0.99);
      expect(ours).toBeGreaterThanOrEqual(least);
      expect(least).toBeGreaterThan(robin);
    } finally {
      for (const name of names) meshes[name].close();
      await close();
    }
  },
  60_000 + seconds * 2_000,
);

test.each(cellNames)(
  "one replica of 11 answers in 2 s, and requests have 1 s, %s",
  async (name) => {
    const cell = await MeshedCell.start(name);
    try {
      const replicas = await cell.start(11);
      const services = { "app.test": { ...listed(replicas), timeout: "1s", retry: { limit: 0 } } };
      const caller = await cell.caller({ authority: "app.test", safeOnly: true, outbound: { services } });
      const perSecond = await caller.calmRate(1_000);
      // Connections are open, latencies known and the programs warm when the one gets slow.
      await caller.drive(perSecond, 4);
      const slow = replicas[0]!;
      await slow.behave({ delayMs: 2_000 });
      const before = await slow.requests();
      const report = await caller.drive(perSecond, seconds);
      const toTheSlowOne = (await slow.requests()) - before;
      record(`slow replica, ${name}`, {
        offered: `${perSecond}/s GETs for ${seconds} s; one replica of 11 in 2 s, the others in 5 ms; timeout 1 s, no retries`,
        requests: report.sent,
        failed: report.failed,
        failures: failureCounts(report.failures),
        success: successOf(report),
        toTheSlowOne,
        p50Ms: report.p50Ms,
        p99Ms: report.p99Ms,
      });
      expect(toTheSlowOne).toBeGreaterThan(0);
      // Round robin loses one of 11.
      expect(1 - report.failed / report.sent).toBeGreaterThan(0.99);
    } finally {
      await cell.close();
    }
  },
  90_000 + seconds * 2_000,
);
