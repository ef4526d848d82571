import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { createDevSource, SpiffeId } from "@selvage/tls-identity";
import { expect, test } from "vitest";
import { Load, metric, sleep } from "./identity-load.js";
import { meshedKinds, startCalling, startServing } from "./meshed-ends.js";

/**
 * A hundred rotations of each end of each meshed cell under about 500 requests per second together, while somebody with a good
 * certificate keeps trying TLS 1.2: a rotation that forgets an option lets that in. Takes some minutes: IDENTITY_SOAK=1 runs it.
 */
const rotations = 'selvage_identity_rotations_total{result="ok"}';
const wanted = 100;
const cells = meshedKinds.flatMap((caller) => meshedKinds.map((app) => ({ caller, app })));

/** Resolves with whether a TLS 1.2 handshake was completed. */
function oldHandshake(address: string, source: ReturnType<typeof createDevSource>): Promise<boolean> {
  const [host, port] = address.split(":") as [string, string];
  const { chainPem, key } = source.current!;
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port: Number(port),
      servername: "",
      cert: chainPem,
      key: key.export({ type: "pkcs8", format: "pem" }) as string,
      rejectUnauthorized: false,
      maxVersion: "TLSv1.2",
    });
    socket.on("secureConnect", () => resolve(true));
    socket.on("error", () => {});
    socket.on("close", () => resolve(false));
  });
}

test.runIf(process.env["IDENTITY_SOAK"])(
  "a hundred rotations of each end lose no request and open no door to TLS 1.2",
  { timeout: 900_000 },
  async () => {
    const stateDir = mkdtempSync(join(tmpdir(), "identity-soak-"));
    const options = (name: string) =>
      ({ workload: { name, namespace: "test" }, stateDir, identity: { source: "dev", lifetime: "4s" } }) as const;
    const prober = createDevSource({ stateDir, id: SpiffeId.parse("spiffe://dev.selvage/ns/test/sa/prober") });
    await prober.ready();
    const found = await Promise.all(
      cells.map(async (cell) => {
        const app = await startServing(cell.app, options("app"), (_req, res) => res.end("served"));
        const services = {
          "app.test": { endpoints: [{ address: app.address, identity: "spiffe://dev.selvage/ns/test/sa/app" }] },
        };
        const caller = await startCalling(cell.caller, { ...options("caller"), outbound: { services } });
        const startedAt = Date.now();
        const load = new Load(
          [1, 2].map(() => caller.client("app.test")),
          13,
        );
        let oldHandshakes = 0;
        let tries = 0;
        const rotated = async () => {
          const pages = await Promise.all([app.metrics(), caller.metrics()]);
          return Math.min(...pages.map((page) => metric(page, rotations)));
        };
        while ((await rotated()) < wanted) {
          await sleep(150);
          tries++;
          if (await oldHandshake(app.address, prober)) oldHandshakes++;
        }
        const { served, failures, perSecond } = await load.stop();
        const seconds = Math.round((Date.now() - startedAt) / 1000);
        const late = metric(await caller.metrics(), 'selvage_identity_alarms_total{left="10"}');
        await caller.stop();
        await app.stop();
        console.info(
          `${cell.caller}→${cell.app}: ${wanted}+ rotations of each end in ${seconds} s, ${served} requests (${perSecond}/s), ${tries} tries of TLS 1.2`,
        );
        return { cell, oldHandshakes, late, failures: [...failures] };
      }),
    );
    prober.close();
    rmSync(stateDir, { recursive: true, force: true });
    expect(found).toEqual(cells.map((cell) => ({ cell, oldHandshakes: 0, late: 0, failures: [] })));
  },
);
