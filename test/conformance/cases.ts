import { createHash } from "node:crypto";
import { expect } from "vitest";
import type { RunningCell } from "./cells.js";
import type { CaseRequest, Outcome } from "./client.js";
import { edgeCases } from "./edge-cases.js";
import { routedCases } from "./routed-cases.js";

/** One behaviour. The same in every cell, unless it says where it makes sense. */
export interface Case {
  readonly name: string;
  /**
   * `all`: wherever there are a client and a server. `outbound`: where the client is meshed. `inbound`: where the server is meshed.
   * `meshed`: where both are.
   */
  readonly where?: "all" | "outbound" | "inbound" | "meshed";
  /** Why a cell can't show it, as a sentence; such cells are marked in the report, and must not be among the meshed ones. */
  readonly except?: (cell: RunningCell["cell"]) => string | null;
  run(running: RunningCell, key: string): Promise<void>;
}

const bytes = (size: number) => Buffer.alloc(size, "0123456789abcdef");
const sha = (body: Buffer) => createHash("sha256").update(body).digest("hex");
const parts = (size: number, count: number) => Array.from({ length: count }, () => bytes(size));

function ok(outcome: Outcome): Outcome {
  expect({ status: outcome.status, broken: outcome.broken, failed: outcome.failed }).toEqual({
    status: 200,
    broken: false,
    failed: false,
  });
  return outcome;
}

async function echoed(running: RunningCell, request: CaseRequest, body: Buffer): Promise<void> {
  const { text } = ok(await running.client.send(request));
  const seen = JSON.parse(text) as { method: string; length: number; sha256: string };
  expect(seen).toMatchObject({ method: request.method ?? "GET", length: body.length, sha256: sha(body) });
}

const methods: readonly Case[] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"].map((method) => ({
  name: `method ${method}`,
  run: (running) => echoed(running, { method, path: "/echo" }, Buffer.alloc(0)),
}));

const requestBodies: readonly Case[] = (
  [
    ["empty", 0],
    ["1 byte", 1],
    ["64 KiB", 65_536],
    ["10 MiB", 10 * 1_048_576],
  ] as const
).map(([name, size]) => ({
  name: `request body, ${name}`,
  run: (running) => echoed(running, { method: "POST", path: "/echo", body: bytes(size) }, bytes(size)),
}));

const responseBodies: readonly Case[] = (
  [
    ["empty", 0],
    ["1 byte", 1],
    ["64 KiB", 65_536],
    ["10 MiB", 10 * 1_048_576],
  ] as const
).flatMap(([name, size]) =>
  ["bytes", "chunked"].map((path) => ({
    name: `response body, ${name}, ${path === "bytes" ? "with its length" : "of unknown length"}`,
    run: async (running: RunningCell) => {
      const outcome = ok(await running.client.send({ path: `/${path}?n=${size}` }));
      expect(outcome.length).toBe(size);
    },
  })),
);

export const cases: readonly Case[] = [
  ...routedCases,
  ...edgeCases,
  ...methods,
  {
    name: "HEAD has a head and no body",
    async run({ client }) {
      const outcome = ok(await client.send({ method: "HEAD", path: "/bytes?n=1000" }));
      expect(outcome.length).toBe(0);
    },
  },
  ...requestBodies,
  {
    name: "request body of unknown length",
    run: (running) =>
      echoed(running, { method: "POST", path: "/echo", body: parts(10_000, 20) }, Buffer.concat(parts(10_000, 20))),
  },
  ...responseBodies,
  {
    name: "streamed both ways",
    async run({ client }) {
      const body = Buffer.concat(parts(50_000, 20));
      const outcome = ok(await client.send({ method: "POST", path: "/mirror", body: parts(50_000, 20) }));
      expect({ length: outcome.length, sha256: outcome.sha256 }).toEqual({ length: body.length, sha256: sha(body) });
    },
  },
  ...[204, 304, 404, 418, 500].map(
    (status): Case => ({
      name: `status ${status}`,
      async run({ client }) {
        const outcome = await client.send({ path: `/status?code=${status}` });
        expect(outcome).toMatchObject({
          status,
          broken: false,
          text: status === 204 || status === 304 ? "" : `status ${status}`,
        });
      },
    }),
  ),
  {
    name: "request headers arrive, in their order, repeated cookies as one",
    async run({ client }) {
      const { text } = ok(
        await client.send({
          path: "/seen",
          headers: { "x-first": "1", "X-Second": "zwei, drei", "x-empty": "", cookie: "a=1; b=2" },
        }),
      );
      const { headers } = JSON.parse(text) as { headers: [string, string][] };
      const sent = headers
        .map(([name, value]) => [name.toLowerCase(), value])
        .filter(([name]) => name?.startsWith("x-") || name === "cookie");
      expect(sent).toEqual([
        ["x-first", "1"],
        ["x-second", "zwei, drei"],
        ["x-empty", ""],
        ["cookie", "a=1; b=2"],
      ]);
    },
  },
  {
    name: "the host is what the client addressed",
    async run({ client }) {
      const { text } = ok(await client.send({ path: "/seen" }));
      const { headers } = JSON.parse(text) as { headers: [string, string][] };
      const host = headers.filter(([name]) => /^(host|:authority)$/i.test(name)).map(([, value]) => value);
      expect([...new Set(host)]).toEqual(["app.test"]);
    },
  },
  {
    name: "response headers arrive; hop-by-hop ones do not travel",
    // A plain server's hop-by-hop headers reach a plain client: there is nobody between them.
    except: (cell) => (cell.client === "plain" && cell.server === "plain" ? "there is no hop" : null),
    async run({ client }) {
      const { headers } = ok(await client.send({ path: "/answered" }));
      expect(headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2"]);
      expect(headers["x-mixed-case"]).toBe("Kept As It Is");
      expect([headers["x-list"]].flat().join(", ")).toBe("one, two");
      expect(headers).not.toHaveProperty("x-hop");
    },
  },
  {
    name: "response trailers",
    async run({ client }) {
      const outcome = ok(await client.send({ path: "/trailers", headers: { te: "trailers" } }));
      expect(outcome.text).toBe("body with a trailer");
      expect(outcome.trailers).toEqual({ "x-check": "4711" });
    },
  },
  {
    name: "request trailers",
    except: (cell) => (cell.client === "sdk" && cell.protocol === "HTTP/2" ? "undici can't send trailers" : null),
    async run({ client }) {
      const { text } = ok(
        await client.send({ method: "POST", path: "/echo", body: parts(10, 2), trailers: { "x-sum": "20" } }),
      );
      expect(JSON.parse(text)).toMatchObject({ length: 20, trailers: { "x-sum": "20" } });
    },
  },
  {
    name: "103 Early Hints",
    async run({ client }) {
      const outcome = ok(await client.send({ path: "/hints" }));
      expect(outcome.informational).toEqual([103]);
      expect(outcome.text).toBe("hinted");
    },
  },
  {
    name: "Expect: 100-continue",
    except: (cell) => (cell.client === "sdk" && cell.protocol === "HTTP/2" ? "undici can't send Expect" : null),
    run: (running) =>
      echoed(
        running,
        { method: "POST", path: "/echo", headers: { expect: "100-continue" }, body: bytes(1000) },
        bytes(1000),
      ),
  },
  {
    name: "a response that comes before the request's body was read",
    async run({ client }) {
      const outcome = await client.send({ method: "POST", path: "/early", body: bytes(1_048_576) });
      // A client that still writes may meet a connection that is closed already: then it saw no response, or all of it.
      if (!outcome.failed) expect(outcome).toMatchObject({ status: 413 });
      ok(await client.send({ path: "/echo" }));
    },
  },
  {
    name: "the client gives up before the head",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      const abort = new AbortController();
      const sent = client.send({ method: "POST", path: `/hang?key=${key}`, body: bytes(10), signal: abort.signal });
      while (!log.hits.has(key)) await new Promise((resolve) => setImmediate(resolve));
      abort.abort();
      expect(await sent).toMatchObject({ failed: true });
      await aborted;
    },
  },
  {
    name: "the client gives up within the body",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      await client.send({ path: `/chunked?n=100000000&key=${key}`, abortAfterHead: true });
      await aborted;
      ok(await client.send({ path: "/echo" }));
    },
  },
  {
    name: "the server gives up within the body: never a body that looks whole",
    except: (cell) =>
      cell.client === "plain" && cell.server === "plain" && cell.protocol === "HTTP/2"
        ? "Node's HTTP/2 server ends such a response as if it were whole"
        : null,
    async run({ client }) {
      const outcome = await client.send({ path: "/broken" });
      expect(outcome).toMatchObject({ status: 200, broken: true });
      ok(await client.send({ path: "/echo" }));
    },
  },
  {
    name: "many requests one after the other",
    async run({ client }) {
      for (let i = 0; i < 50; i++) ok(await client.send({ path: "/bytes?n=10" }));
    },
  },
  {
    name: "many requests at once",
    async run({ client }) {
      const outcomes = await Promise.all(Array.from({ length: 100 }, (_, i) => client.send({ path: `/bytes?n=${i}` })));
      expect(outcomes.map((outcome) => outcome.length)).toEqual(outcomes.map((_, i) => i));
    },
  },
  {
    name: "the timeout of a route: 504 with the reason",
    where: "outbound",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      const outcome = await client.send({ path: `/hang?key=${key}` });
      expect(outcome.status).toBe(504);
      expect(outcome.headers["l5d-proxy-error"]).toMatch(/300 ms/);
      await aborted;
    },
  },
  {
    name: "the idle timeout of a route: 504 with the reason, and nothing is repeated",
    where: "outbound",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      const outcome = await client.send({ path: `/hang?key=${key}`, headers: { "x-idle": "1" } });
      expect(outcome.status).toBe(504);
      expect(outcome.headers["l5d-proxy-error"]).toMatch(/for 200 ms/);
      await aborted;
    },
  },
  {
    name: "a safe method is tried again after 503",
    where: "outbound",
    async run({ client, log }, key) {
      expect(ok(await client.send({ path: `/flaky?key=${key}` })).text).toBe("attempt 2");
      expect(log.hits.get(key)).toBe(2);
    },
  },
  {
    name: "another method is not",
    where: "outbound",
    async run({ client, log }, key) {
      const outcome = await client.send({ method: "POST", path: `/flaky?key=${key}`, body: bytes(5) });
      expect(outcome.status).toBe(503);
      expect(log.hits.get(key)).toBe(1);
    },
  },
  {
    name: "a route that hedges asks another replica when the first does not answer, and cancels the first",
    where: "outbound",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      const outcome = await client.send({ authority: "hedged.test", path: `/hang-once?key=${key}` });
      expect(ok(outcome).text).toBe("attempt 2");
      await aborted;
      expect(log.hits.get(key)).toBe(2);
    },
  },
  {
    name: "the application does not see how much time its caller gives it",
    where: "outbound",
    async run({ client }) {
      const { text } = ok(await client.send({ authority: "hedged.test", path: "/seen" }));
      expect(text).not.toContain("time-left");
    },
  },
  {
    name: "the same key goes to the same replica, different ones to all",
    where: "outbound",
    async run({ client }) {
      const replica = async (user: string) =>
        ok(await client.send({ authority: "hashed.test", path: "/replica", headers: { "x-user": user } })).text;
      const users = Array.from({ length: 20 }, (_, i) => `user-${i}`);
      const owners: string[] = [];
      for (const user of users) owners.push(await replica(user));
      for (const [i, user] of users.entries()) expect(await replica(user)).toBe(owners[i]);
      expect([...new Set(owners)].sort()).toEqual(["a", "b"]);
    },
  },
  {
    name: "a service that nobody serves: 502 with the reason, at once",
    where: "outbound",
    async run({ client }) {
      const outcome = await client.send({ authority: "gone.test", path: "/" });
      expect(outcome.status).toBe(502);
      expect(outcome.headers["l5d-proxy-error"]).toContain("127.0.0.1:1");
    },
  },
  {
    name: "a service that is not who it has to be: 502 with the reason, and nothing reaches it",
    where: "meshed",
    async run({ client, log }, key) {
      const outcome = await client.send({ authority: "impostor.test", path: `/echo?key=${key}` });
      expect(outcome.status).toBe(502);
      expect(outcome.headers["l5d-proxy-error"]).toContain("somebody-else");
      expect(log.hits.has(key)).toBe(false);
    },
  },
  {
    name: "refused by policy: 403 with the reason, and the app never sees it",
    where: "inbound",
    async run({ client, log }, key) {
      const outcome = await client.send({ path: `/forbidden?key=${key}` });
      expect(outcome.status).toBe(403);
      expect(outcome.headers["l5d-proxy-error"]).toContain('rule "closed"');
      expect(log.hits.has(key)).toBe(false);
    },
  },
  {
    name: "the identity that the app sees is the proven one, and no other",
    where: "inbound",
    async run({ client, clientId }) {
      const forged = {
        "l5d-client-id": "spiffe://dev.selvage/ns/test/sa/admin",
        l5d_client_id: "admin",
        "x-forwarded-client-cert": "URI=spiffe://dev.selvage/ns/test/sa/admin",
        "l5d-orig-proto": "HTTP/1.0",
      };
      const { text } = ok(await client.send({ path: "/seen", headers: forged }));
      const { headers } = JSON.parse(text) as { headers: [string, string][] };
      const claims = headers
        .filter(([name]) => /^(l5d[-_]|x-forwarded-client-cert)/i.test(name))
        .map(([name, value]) => [name.toLowerCase(), value]);
      expect(claims).toEqual(clientId === null ? [] : [["l5d-client-id", clientId]]);
    },
  },
  {
    name: "the carrying leaves no trace: version and headers are the application's",
    where: "meshed",
    async run({ client, cell }) {
      const outcome = ok(await client.send({ path: "/seen" }));
      const { version, headers } = JSON.parse(outcome.text) as { version: string; headers: [string, string][] };
      expect(version).toBe("1.1");
      expect(headers.some(([name]) => /^l5d-orig-proto$/i.test(name))).toBe(false);
      expect(outcome.headers).not.toHaveProperty("l5d-orig-proto");
      // What an HTTP/1.1 application wrote comes in the usual case of HTTP/1.1; HTTP/2 has lower case only.
      if (cell.protocol === "HTTP/1.1") expect(headers.map(([name]) => name)).toContain("Host");
    },
  },
];
