import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CallingEnd, meshedKinds, type ServingEnd, startCalling, startServing } from "./meshed-ends.js";

const serverId = "spiffe://dev.selvage/ns/test/sa/app";

for (const caller of meshedKinds) {
  for (const called of meshedKinds) {
    describe(`${caller}→${called}`, () => {
      const stateDir = mkdtempSync(join(tmpdir(), "protection-"));
      let serving: ServingEnd;
      let calling: CallingEnd;
      let seen: string[] = [];
      let release = () => {};
      let arrived: Promise<void>;

      beforeAll(async () => {
        let arrive = () => {};
        arrived = new Promise((resolve) => {
          arrive = resolve;
        });
        const released = new Promise<void>((resolve) => {
          release = resolve;
        });
        serving = await startServing(
          called,
          {
            workload: { name: "app", namespace: "test" },
            stateDir,
            inbound: { adaptiveLimit: { min: 1, max: 1 }, probes: { paths: ["/healthz"] } },
          },
          (req, res) => {
            seen.push(req.url!);
            if (req.url !== "/held") return void res.end("ok");
            arrive();
            void released.then(() => res.end("ok"));
          },
        );
        calling = await startCalling(caller, {
          workload: { name: "caller", namespace: "test" },
          stateDir,
          outbound: {
            services: {
              "app.test": {
                endpoints: [{ address: serving.address, identity: serverId }],
                retry: { limit: 0 },
                routes: [
                  {
                    name: "aborted",
                    match: { path: "/aborted" },
                    fault: { abort: { status: 418 } },
                    retry: { limit: 1 },
                  },
                  { name: "late", match: { path: "/late" }, fault: { delay: { duration: "50ms" } } },
                  {
                    name: "too late",
                    match: { path: "/too-late" },
                    fault: { delay: { duration: "1m" } },
                    timeout: "50ms",
                  },
                ],
              },
            },
          },
        });
      });

      afterAll(async () => {
        await calling?.stop();
        await serving?.stop();
        rmSync(stateDir, { recursive: true, force: true });
      });

      test("beyond the limit: 503 with retry-after, while health checks pass", async () => {
        const client = calling.client("app.test");
        const held = client.send({ path: "/held" });
        await arrived;
        const shed = await client.send({ path: "/shed" });
        expect([shed.status, shed.headers["retry-after"]]).toEqual([503, "1"]);
        expect(shed.headers["l5d-proxy-error"]).toContain("wait for their response");
        expect((await client.send({ path: "/healthz" })).status).toBe(200);
        release();
        expect((await held).status).toBe(200);
        expect((await client.send({ path: "/after" })).status).toBe(200);
        expect(seen).toEqual(["/held", "/healthz", "/after"]);
        const metrics = await serving.metrics();
        expect(metrics).toContain('selvage_errors_total{direction="inbound",reason="shed"} 1');
        expect(metrics).toContain("selvage_concurrency_limit 1");
        await client.close();
      });

      test("faults: an abort is answered with its reason, a delay is within the timeout", async () => {
        seen = [];
        const client = calling.client("app.test");
        const aborted = await client.send({ path: "/aborted" });
        expect(aborted.status).toBe(418);
        expect(aborted.headers["l5d-proxy-error"]).toBe("fault injected: status 418, by route aborted of app.test");
        const before = performance.now();
        expect((await client.send({ path: "/late" })).status).toBe(200);
        expect(performance.now() - before).toBeGreaterThanOrEqual(49);
        expect((await client.send({ path: "/too-late" })).status).toBe(504);
        expect(seen).toEqual(["/late"]);
        const metrics = await calling.metrics();
        expect(metrics).toContain('selvage_faults_total{server_address="app.test",kind="abort"} 1');
        expect(metrics).toContain('selvage_faults_total{server_address="app.test",kind="delay"} 2');
        await client.close();
      });
    });
  }
}
