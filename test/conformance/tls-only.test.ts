import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CallingEnd, meshedKinds, type ServingEnd, startCalling, startServing } from "./meshed-ends.js";

// Such a port hands connections to TLS before it has seen a byte of them.
for (const caller of meshedKinds) {
  for (const called of meshedKinds) {
    describe(`${caller}→${called}, where plaintext is refused`, () => {
      const stateDir = mkdtempSync(join(tmpdir(), "tls-only-"));
      const id = "spiffe://dev.selvage/ns/test/sa/app";
      const long = "x".repeat(100_000);
      let serving: ServingEnd;
      let calling: CallingEnd;

      beforeAll(async () => {
        const inbound = { plaintext: "refuse" } as const;
        serving = await startServing(
          called,
          { workload: { name: "app", namespace: "test" }, stateDir, inbound },
          (req, res) => {
            let body = "";
            req.setEncoding("latin1").on("data", (text: string) => {
              body += text;
            });
            req.on("end", () => res.end(`${req.headers["l5d-client-id"]} ${body.length}`));
          },
        );
        const services = { "app.test": { endpoints: [{ address: serving.address, identity: id }] } };
        const outbound = { services };
        calling = await startCalling(caller, { workload: { name: "caller", namespace: "test" }, stateDir, outbound });
      });
      afterAll(async () => {
        await calling?.stop();
        await serving?.stop();
        rmSync(stateDir, { recursive: true, force: true });
      });

      test("meshed calls get through, whatever their size, and say who calls", async () => {
        const client = calling.client("app.test");
        for (const body of ["", "short", long]) {
          const { status, text } = await client.send({ method: "POST", path: "/", body: Buffer.from(body) });
          expect([status, text]).toEqual([200, `spiffe://dev.selvage/ns/test/sa/caller ${body.length}`]);
        }
      });

      test("plain ones are closed without an answer, and counted", async () => {
        const [host, port] = serving.address.split(":");
        const socket = connect(Number(port), host);
        let answer = "";
        socket
          .on("error", () => {})
          .on("data", (bytes) => {
            answer += bytes.toString("latin1");
          });
        socket.write("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
        await new Promise((resolve) => socket.on("close", resolve));
        expect(answer).toBe("");
        expect(await serving.metrics()).toContain('selvage_protections_total{reason="plaintext refused"} 1\n');
        expect((await calling.client("app.test").send({ path: "/" })).status).toBe(200);
      });
    });
  }
}
