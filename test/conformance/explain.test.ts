import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { explain } from "../../packages/proxy-shim/src/explain.js";
import { type CallingEnd, meshedKinds, type ServingEnd, startCalling, startServing } from "./meshed-ends.js";

const serverId = "spiffe://dev.selvage/ns/test/sa/app";

for (const caller of meshedKinds) {
  for (const called of meshedKinds) {
    describe(`${caller}→${called}`, () => {
      const stateDir = mkdtempSync(join(tmpdir(), "explain-"));
      let serving: ServingEnd;
      let calling: CallingEnd;

      beforeAll(async () => {
        const workload = { name: "app", namespace: "test" };
        serving = await startServing(called, { workload, stateDir }, (_, res) => res.end("ok"));
        calling = await startCalling(caller, {
          workload: { name: "caller", namespace: "test" },
          stateDir,
          outbound: {
            services: {
              "app.test": {
                // Nobody is at the second one.
                endpoints: [serving.address, "127.0.0.1:1"],
                identity: serverId,
                failureAccrual: { consecutiveFailures: 1, minPenalty: "1m" },
                routes: [
                  {
                    name: "items",
                    match: { path: "/items/*" },
                    timeout: "2s",
                    retry: { limit: 2, perTryTimeout: "500ms" },
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

      const asked = async (method: string, url: string) => {
        let text = "";
        const status = await explain({
          method,
          url,
          admin: calling.admin,
          write: (part) => {
            text += part;
          },
        });
        return { status, lines: text.split("\n").map((line) => line.replaceAll(/ +/g, " ").trim()) };
      };

      test("a live workload says what would happen to a call, and how its endpoints are", async () => {
        const client = calling.client("app.test");
        const ejected = async () => {
          expect((await client.send({ path: "/items/7" })).status).toBe(200);
          return (await asked("GET", "http://app.test/items/7")).lines.find((line) => line.startsWith("127.0.0.1:1 "));
        };
        await expect
          .poll(ejected)
          .toMatch(/^127\.0\.0\.1:1 ejected load [\d.]+ 0 in flight 1 of 1 failed never connected$/);
        const { status, lines } = await asked("get", "http://app.test/items/7");
        expect(status).toBe(0);
        expect(lines).toEqual([
          "GET http://app.test/items/7",
          "",
          "service app.test",
          `identity ${serverId}`,
          "route items",
          "timeout 2 s for everything",
          "attempts 1 at once, 500 ms to answer",
          "2 25 to 50 ms after the one before failed, 500 ms to answer",
          "3 50 to 100 ms after the one before failed, 500 ms to answer",
          "repeated what did not reach the endpoint (at once, free of budget), or was refused by it unprocessed",
          "statuses 502, 503, 504",
          "a connection that broke, or an attempt's time that was over",
          "bodies up to 64 KiB only",
          expect.stringMatching(/^budget \d+ retries now \(10 a second, and one for 5 calls that need none\)$/),
          "endpoints 1 of 2 available",
          expect.stringMatching(
            /^127\.0\.0\.1:\d+ available load [\d.]+ 0 in flight 0 of \d+ failed HTTP\/2, TLS 1\.3$/,
          ),
          expect.stringMatching(/^127\.0\.0\.1:1 ejected /),
          "",
        ]);
        await client.close();
      });

      test("what would fail is said, with what is known", async () => {
        const { status, lines } = await asked("GET", "http://ap.test/");
        const remedy =
          "start it, or add it to outbound.services, or to outbound.egress.allow if it is outside the mesh";
        const problem = `problem no service ap.test: known are app.test; ${remedy}`;
        expect([status, lines[2]]).toEqual([1, problem]);
      });
    });
  }
}
