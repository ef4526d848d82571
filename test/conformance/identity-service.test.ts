import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log, MeshOptions } from "@selvage/core";
import { rotateIssuer, rotateRoot, SpiffeId } from "@selvage/tls-identity";
import { createTestTrust } from "@selvage/tls-identity/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Authority, serviceId } from "./authority.js";
import { idOf } from "./identity-files.js";
import { Load, metric, sleep, until } from "./identity-load.js";
import {
  type CallingEnd,
  type MeshedKind,
  meshedKinds,
  type ServingEnd,
  startCalling,
  startServing,
} from "./meshed-ends.js";

const rotations = 'selvage_identity_rotations_total{result="ok"}';

let directory = "";
const stops: (() => Promise<unknown>)[] = [];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "identity-service-"));
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  rmSync(directory, { recursive: true, force: true });
});

const path = (name: string) => join(directory, name);

async function startAuthority(lifetime: string): Promise<Authority> {
  const authority = await Authority.start(directory, lifetime);
  stops.push(() => authority.kill());
  return authority;
}

interface Pair {
  readonly app: ServingEnd;
  readonly caller: CallingEnd;
}

async function startPair(
  kinds: { readonly app: MeshedKind; readonly caller: MeshedKind },
  optionsOf: (name: string) => MeshOptions,
  identity: string,
  log?: Log,
): Promise<Pair> {
  const app = await startServing(kinds.app, optionsOf("app"), (_req, res) => res.end("served"));
  stops.push(() => app.stop());
  const services = { "app.test": { endpoints: [{ address: app.address, identity }] } };
  const caller = await startCalling(kinds.caller, { ...optionsOf("caller"), outbound: { services } }, log);
  stops.push(() => caller.stop());
  return { app, caller };
}

const both = { app: "shim", caller: "sdk" } as const;
const load = ({ caller }: Pair) =>
  new Load(
    [1, 2, 3].map(() => caller.client("app.test")),
    10,
  );
const rotated = async (end: ServingEnd | CallingEnd) => metric(await end.metrics(), rotations);

/** The four meshed cells, by workloads of the same two names. */
async function startCells(authority: Authority, log?: Log): Promise<Pair[]> {
  await authority.jwt("app");
  await authority.jwt("caller");
  const kinds = meshedKinds.flatMap((caller) => meshedKinds.map((app) => ({ caller, app })));
  return Promise.all(kinds.map((cell) => startPair(cell, (name) => authority.optionsOf(name), serviceId("app"), log)));
}

describe("workloads of an identity service that is killed", () => {
  test("lose no request while it is away for more than half of a certificate's life", async () => {
    const authority = await startAuthority("12s");
    const cells = await startCells(authority);
    const running = cells.map(load);
    await authority.kill();
    await sleep(7000);
    for (const end of cells.flatMap(({ app, caller }) => [app, caller])) {
      expect(metric(await end.metrics(), 'selvage_identity_rotations_total{result="error"}')).toBeGreaterThan(0);
    }
    await authority.serve();
    await until(async () => {
      const counts = await Promise.all(cells.flatMap(({ app, caller }) => [rotated(app), rotated(caller)]));
      return counts.every((count) => count > 0);
    });
    for (const one of running) {
      const { served, failures } = await one.stop();
      expect([...failures]).toEqual([]);
      expect(served).toBeGreaterThan(100);
    }
    expect(await authority.page("ready")).toBe("ready\n");
    expect(metric(await authority.page("metrics"), "selvage_identity_service_issued_total")).toBeGreaterThanOrEqual(8);
  });

  test("raise alarms, then refuse, then come back by themselves when it is away for longer than that life", async () => {
    const authority = await startAuthority("6s");
    const logged: unknown[] = [];
    const cells = await startCells(authority, (level, message, fields) => {
      if (message === "identity.renewal-late") logged.push([level, fields?.["left"]]);
    });
    await authority.kill();
    await Promise.all(
      cells.map(async ({ app, caller }) => {
        const client = caller.client("app.test");
        for (const left of ["50", "25", "10"]) {
          const alarms = `selvage_identity_alarms_total{left="${left}"}`;
          await until(async () => metric(await caller.metrics(), alarms) > 0);
          await until(async () => metric(await app.metrics(), alarms) > 0);
          // Both certificates are good to their very end.
          if (left !== "10") expect((await client.send({ path: "/" })).status).toBe(200);
        }
        await until(async () => metric(await caller.metrics(), "selvage_identity_expires_seconds") < -1);
        expect((await client.send({ path: "/" })).status).toBeGreaterThanOrEqual(502);
      }),
    );
    // Of the library's two callers.
    expect(logged.map((one) => JSON.stringify(one)).sort()).toEqual(
      ["10 %", "10 %", "25 %", "25 %", "50 %", "50 %"].map((left) => JSON.stringify(["error", left])),
    );
    await authority.serve();
    await Promise.all(
      cells.map(({ caller }) =>
        until(async () => (await caller.client("app.test").send({ path: "/" })).status === 200),
      ),
    );
  });
});

describe("two workloads of an identity service", () => {
  test("lose no request while issuer and root are changed, without a restart", async () => {
    const authority = await startAuthority("5s");
    await authority.joinToken("app");
    await authority.jwt("caller");
    const pair = await startPair(both, (name) => authority.optionsOf(name), serviceId("app"));
    const { where } = authority;
    const running = load(pair);
    /** A snapshot that was published after now: with the bundle and the issuer of now. */
    const renewed = async () => {
      const before = await Promise.all([rotated(pair.app), rotated(pair.caller)]);
      await until(async () => {
        const now = await Promise.all([rotated(pair.app), rotated(pair.caller)]);
        return now.every((count, index) => count >= before[index]! + 2);
      });
    };
    await rotateIssuer(where);
    await renewed();
    await rotateRoot(where, { step: "prepare" });
    await renewed();
    await rotateRoot(where, { step: "activate" });
    await renewed();
    await sleep(5000);
    // Leaves live for seconds here, which is less than the reserve for clocks that are behind.
    await rotateRoot({ ...where, now: () => Date.now() + 120_000 }, { step: "finish", leafLifetimeMs: 5000 });
    await renewed();
    const { served, failures } = await running.stop();
    expect([...failures]).toEqual([]);
    expect(served).toBeGreaterThan(100);
  });
});

describe("two workloads with files of somebody else's", () => {
  test.each([both, { app: "sdk", caller: "shim" } as const])(
    "lose no request over swaps of ..data (%o)",
    async (kinds) => {
      const trust = createTestTrust();
      /** As the kubelet does it. */
      const publish = (name: string, version: number) => {
        const { cert, key, bundle } = trust.files(SpiffeId.parse(idOf(name)));
        mkdirSync(path(`${name}/..${version}`), { recursive: true });
        for (const [file, text] of Object.entries({ "tls.crt": cert, "tls.key": key, "ca.crt": bundle })) {
          writeFileSync(path(`${name}/..${version}/${file}`), text, { mode: 0o600 });
          if (version === 0) symlinkSync(`..data/${file}`, path(`${name}/${file}`));
        }
        symlinkSync(`..${version}`, path(`${name}/..data_tmp`));
        renameSync(path(`${name}/..data_tmp`), path(`${name}/..data`));
        if (version > 0) rmSync(path(`${name}/..${version - 1}`), { recursive: true });
      };
      const optionsOf = (name: string): MeshOptions => {
        publish(name, 0);
        const at = (file: string) => path(`${name}/${file}`);
        return {
          workload: { name, namespace: "test", trustDomain: "a.example" },
          identity: { source: "files", cert: at("tls.crt"), key: at("tls.key"), bundle: at("ca.crt") },
        };
      };
      const pair = await startPair(kinds, optionsOf, idOf("app"));
      const running = load(pair);
      for (let version = 1; version <= 8; version++) {
        publish("app", version);
        publish("caller", version);
        await until(async () => (await rotated(pair.app)) >= version && (await rotated(pair.caller)) >= version);
      }
      const { served, failures } = await running.stop();
      expect([...failures]).toEqual([]);
      expect(served).toBeGreaterThan(8);
    },
  );
});
