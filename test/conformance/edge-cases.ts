import { Agent, request } from "node:http";
import { connect } from "node:http2";
import { expect } from "vitest";
import type { Case } from "./cases.js";
import { type RunningCell, startCell } from "./cells.js";

/** Runs with a cell of its own, whose servers may be ended, and have time to. */
async function ending({ cell }: RunningCell, run: (own: RunningCell) => Promise<void>): Promise<void> {
  const own = await startCell(cell, { drain: "20s" });
  try {
    await run(own);
  } finally {
    await own.stop();
  }
}

interface Goodbye {
  readonly status: number;
  readonly text: string;
  /** The `connection` of the response. */
  readonly connection: string | undefined;
}

/** A request by HTTP/1.1, without the mesh, that keeps its connection if it may. */
function heldByHttp1(port: number, path: string): Promise<Goodbye> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: true });
    const req = request({ host: "127.0.0.1", port, path, agent, headers: { host: "app.test" } }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      res.on("end", () => {
        agent.destroy();
        resolve({ status: res.statusCode ?? 0, text, connection: res.headers.connection });
      });
    });
    req.on("error", reject).end();
  });
}

/** The same by HTTP/2, with what GOAWAY said. */
function heldByHttp2(port: number, path: string): Promise<Goodbye & { readonly goaway: number[] }> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    const goaway: number[] = [];
    session.on("goaway", (code) => goaway.push(code)).on("error", reject);
    const stream = session.request({ ":path": path, ":authority": "app.test" });
    let status = 0;
    let text = "";
    stream.on("response", (headers) => {
      status = Number(headers[":status"]);
    });
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk;
    });
    stream.on("error", reject).on("end", () => {
      resolve({ status, text, connection: undefined, goaway });
      session.close();
    });
  });
}

/** Where the mesh ends: names outside it, and workloads that go. */
export const edgeCases: readonly Case[] = [
  {
    name: "a name outside the mesh that is allowed is called without what is the mesh's",
    where: "outbound",
    async run({ client, outside }) {
      const headers = {
        "x-own": "1",
        "l5d-dst-override": "app.test",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      };
      const { status, text } = await client.send({ authority: outside, path: "/seen", headers });
      expect(status).toBe(200);
      const seen = (JSON.parse(text) as { headers: [string, string][] }).headers.map(([name, value]) => [
        name.toLowerCase(),
        value,
      ]);
      expect(seen).toContainEqual(["x-own", "1"]);
      expect(seen).toContainEqual(["host", outside]);
      expect(seen.filter(([name]) => /^(l5d|traceparent|tracestate|baggage|proxy-)/.test(name!))).toEqual([]);
      const body = Buffer.alloc(300_000, "x");
      const posted = await client.send({ authority: outside, method: "POST", path: "/echo", body });
      expect(JSON.parse(posted.text)).toMatchObject({ method: "POST", length: 300_000 });
    },
  },
  {
    name: "another one is refused: 403 with what is missing",
    where: "outbound",
    async run({ client, log }, key) {
      const outcome = await client.send({ authority: "10.1.2.3:99", path: `/?key=${key}` });
      expect(outcome.status).toBe(403);
      expect(outcome.headers["l5d-proxy-error"]).toBe(
        "egress to http://10.1.2.3:99 is not allowed: add it to outbound.egress.allow",
      );
      expect(log.hits.has(key)).toBe(false);
    },
  },
  {
    name: "a service that nobody knows: 502 at once, with those that are known",
    where: "outbound",
    async run({ client, outside }) {
      const before = performance.now();
      const outcome = await client.send({ authority: "ap.test", path: "/" });
      expect(outcome.status).toBe(502);
      expect(outcome.headers["l5d-proxy-error"]).toMatch(
        /^no service ap\.test: known are app\.test, .*; start it, or add it to/,
      );
      // Those are services; and nothing waited for it, which would have been for 3 s.
      expect(outcome.headers["l5d-proxy-error"]).not.toContain(outside);
      expect(performance.now() - before).toBeLessThan(2_000);
    },
  },
  {
    name: "a workload that closes finishes what it has; new requests go elsewhere, and fail when there is nowhere",
    where: "meshed",
    run: (running) =>
      ending(running, async ({ client, log, replicas }) => {
        const arrived = log.held("first");
        const first = client.send({ method: "POST", path: "/held?key=first", body: Buffer.from("x") });
        const answer = await arrived;
        const closed = replicas[0]!.close();
        const send = async () => {
          const outcome = await client.send({ authority: "pair.test", method: "POST", path: "/replica" });
          expect([outcome.status, outcome.failed, outcome.broken]).toEqual([200, false, false]);
          return outcome.text;
        };
        // Until it is known that it goes it may get some, and answers them.
        await expect.poll(send).toBe("b");
        for (let i = 0; i < 20; i++) await send();
        answer();
        expect(await first).toMatchObject({ status: 200, text: "held by a", broken: false });
        await closed;
        for (let i = 0; i < 20; i++) expect(await send()).toBe("b");
        const nowhere = await client.send({ path: "/replica" });
        expect(nowhere.status).toBe(502);
        expect(nowhere.headers["l5d-proxy-error"]).toContain(`127.0.0.1:${replicas[0]!.port}`);
      }),
  },
  {
    name: "a workload that closes says so: GOAWAY, Connection: close",
    where: "inbound",
    run: (running) =>
      ending(running, async ({ log, replicas }) => {
        const { port, close } = replicas[0]!;
        const arrived = [log.held("by http/1.1"), log.held("by http/2")];
        const outcomes = [
          heldByHttp1(port, "/held?key=by%20http/1.1"),
          heldByHttp2(port, "/held?key=by%20http/2"),
        ] as const;
        const answers = await Promise.all(arrived);
        const closed = close();
        // Nothing new comes in from then on.
        await expect.poll(() => heldByHttp1(port, "/replica").catch(() => "refused")).toBe("refused");
        for (const answer of answers) answer();
        expect(await outcomes[0]).toEqual({ status: 200, text: "held by a", connection: "close" });
        const second = await outcomes[1];
        expect(second).toMatchObject({ status: 200, text: "held by a" });
        expect(second.goaway[0]).toBe(0);
        await closed;
      }),
  },
];
