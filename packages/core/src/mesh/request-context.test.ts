import { AsyncLocalStorage } from "node:async_hooks";
import { mkdtempSync, rmSync } from "node:fs";
import { get, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { context, createContextKey, ROOT_CONTEXT } from "@opentelemetry/api";
import { transportError } from "@selvage/http2";
import { RecordingSink } from "@selvage/http2/testing";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MeshExchange } from "../exchange.js";
import { inboundExchange } from "../testing/test-mesh.js";
import { createMesh, type Mesh } from "./mesh.js";
import { followRequests, newOutboundExchange, outsideRequests, RequestContextExit } from "./request-context.js";

const grpc = (timeout: string) => ["content-type", "application/grpc", "grpc-timeout", timeout];

/** An exit whose application is a function. */
function exitOf(app: (x: MeshExchange, sink: Parameters<RequestContextExit["call"]>[1]) => void): RequestContextExit {
  return new RequestContextExit({ active: 0, call: app as RequestContextExit["call"] });
}

function inbound(headers: readonly string[] = [], deadlineAt = Number.POSITIVE_INFINITY): MeshExchange {
  const x = inboundExchange({ method: "POST", headers });
  x.startedAt = 1_000;
  x.deadlineAt = deadlineAt;
  return x;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("what is sent on behalf of a request", () => {
  beforeEach(followRequests);

  test("ends with its deadline, now and in what it started", async () => {
    const seen: number[] = [];
    const exit = exitOf(async () => {
      seen.push(newOutboundExchange().deadlineAt);
      await turn();
      seen.push(newOutboundExchange().deadlineAt);
    });
    exit.call(inbound([], 5_000), new RecordingSink());
    await turn();
    await turn();
    expect(seen).toEqual([5_000, 5_000]);
    expect(newOutboundExchange().deadlineAt).toBe(Number.POSITIVE_INFINITY);
  });

  test("ends with grpc-timeout, when that is earlier", () => {
    const seen: number[] = [];
    const exit = exitOf(() => void seen.push(newOutboundExchange().deadlineAt));
    exit.call(inbound(grpc("200m")), new RecordingSink());
    exit.call(inbound(grpc("10S"), 2_000), new RecordingSink());
    exit.call(inbound(grpc("nonsense")), new RecordingSink());
    exit.call(inbound(["grpc-timeout", "1m"]), new RecordingSink());
    expect(seen).toEqual([1_200, 2_000, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  test("is not bound by a deadline of another that is handled at the same time", async () => {
    const seen = new Map<MeshExchange, number[]>();
    const exit = exitOf(async (x) => {
      const own: number[] = [];
      seen.set(x, own);
      for (let i = 0; i < 5; i++) {
        own.push(newOutboundExchange().deadlineAt);
        await turn();
      }
    });
    const deadlines = [2_000, Number.POSITIVE_INFINITY, 3_000, Number.POSITIVE_INFINITY];
    const exchanges = deadlines.map((deadlineAt) => inbound([], deadlineAt));
    for (const x of exchanges) exit.call(x, new RecordingSink());
    for (let i = 0; i < 6; i++) await turn();
    for (const [i, x] of exchanges.entries()) expect(new Set(seen.get(x))).toEqual(new Set([deadlines[i]]));
  });

  test("is not bound by a deadline of one in whose handling it arrives", () => {
    const seen: number[] = [];
    const inner = exitOf(() => void seen.push(newOutboundExchange().deadlineAt));
    const outer = exitOf((_x, sink) => inner.call(inbound(), sink));
    outer.call(inbound([], 2_000), new RecordingSink());
    expect(seen).toEqual([Number.POSITIVE_INFINITY]);
  });

  test.each(["ended", "failed"])("is free of it when the request has %s", async (how) => {
    const seen: number[] = [];
    const exit = exitOf(async (_x, sink) => {
      await turn();
      if (how === "failed") sink.onError(transportError("SELVAGE_ERR_ABORTED", "gone", "caller"));
      else sink.onEnd(null);
      seen.push(newOutboundExchange().deadlineAt);
      await turn();
      seen.push(newOutboundExchange().deadlineAt);
    });
    exit.call(inbound([], 5_000), new RecordingSink());
    for (let i = 0; i < 4; i++) await turn();
    expect(seen).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });

  test("belongs to its trace", () => {
    const storage = new AsyncLocalStorage<typeof ROOT_CONTEXT>();
    context.setGlobalContextManager({
      active: () => storage.getStore() ?? ROOT_CONTEXT,
      with: (value, action, self, ...rest) => storage.run(value, () => action.call(self as never, ...rest)),
      bind: (_value, target) => target,
      enable: () => context as never,
      disable: () => context as never,
    });
    try {
      const key = createContextKey("span");
      let active: unknown;
      const exit = exitOf(() => {
        active = context.active().getValue(key);
      });
      const x = inbound();
      x.traceContext = ROOT_CONTEXT.setValue(key, "this one");
      exit.call(x, new RecordingSink());
      expect(active).toBe("this one");
    } finally {
      context.disable();
    }
  });

  test("what outlives it can be started outside of it", () => {
    let seen = 0;
    exitOf(() => {
      seen = outsideRequests(() => newOutboundExchange().deadlineAt);
    }).call(inbound([], 5_000), new RecordingSink());
    expect(seen).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("through two workloads", () => {
  let stateDir: string;
  let meshes: Mesh[];

  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), "context-"));
    meshes = [];
  });

  afterEach(async () => {
    await Promise.all(meshes.map((mesh) => mesh.close()));
    rmSync(stateDir, { recursive: true });
  });

  async function serve(name: string, app: (mesh: Mesh) => RequestListener, timeout = "0"): Promise<Mesh> {
    const mesh = await createMesh({
      workload: { name },
      stateDir,
      admin: false,
      drain: { timeout: "1s" },
      inbound: { policy: { default: "all-unauthenticated" } },
      outbound: { defaults: { timeout } },
    });
    meshes.push(mesh);
    const server = mesh.createServer(app(mesh));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    ports.set(mesh, (server.address() as AddressInfo).port);
    return mesh;
  }
  const ports = new Map<Mesh, number>();

  test.each(["fetch", "agent"] as const)("an inbound grpc-timeout bounds an outbound call by %s", async (way) => {
    await serve("back", () => () => {});
    const outcomes: string[] = [];
    const front = await serve("front", (mesh) => async (req, res) => {
      // Some applications read first and call later.
      for await (const _ of req);
      const startedAt = performance.now();
      const answer = await (way === "fetch" ? byFetch(mesh) : byAgent(mesh));
      outcomes.push(`${answer} ${performance.now() - startedAt < 5_000}`);
      res.end();
    });
    const response = await front.fetch("http://front/", {
      method: "POST",
      headers: { "content-type": "application/grpc", "grpc-timeout": "300m" },
      body: "x",
    });
    // The caller's own deadline is the same, and may strike first.
    await response.text().catch(() => {});
    for (let i = 0; i < 100 && outcomes.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(outcomes[0]).toMatch(/^504 back did not answer within \d+ ms.* true$/s);
  });

  test("a caller's timeout bounds the calls that are made for it, without gRPC too", async () => {
    await serve("back", () => () => {});
    const outcomes: string[] = [];
    await serve("front", (mesh) => async (_req, res) => {
      outcomes.push(await byFetch(mesh));
      res.end();
    });
    const edge = await serve("edge", () => () => {}, "300ms");
    const response = await edge.fetch("http://front/");
    expect(response.status).toBe(504);
    for (let i = 0; i < 100 && outcomes.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(outcomes[0]).toMatch(/^504 back did not answer within \d+ ms/);
  });
});

async function byFetch(mesh: Mesh): Promise<string> {
  const response = await mesh.fetch("http://back/");
  return `${response.status} ${await response.text()}`.trim();
}

function byAgent(mesh: Mesh): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: "back", agent: mesh.agent }, (res) => {
      let text = "";
      res.setEncoding("utf8");
      res.on("data", (part: string) => (text += part));
      res.on("end", () => resolve(`${res.statusCode} ${text}`.trim()));
    }).on("error", reject);
  });
}
