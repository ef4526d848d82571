import { transportError } from "@selvage/http2";
import { ScriptedService } from "@selvage/http2/testing";
import { describe, expect, test } from "vitest";
import { balancingDefaults } from "../balancer/balancer.js";
import { compileRetryPolicy, type RetryPolicyOptions, retryDefaults } from "../resilience/retry-policy.js";
import { TestMesh, type TestMeshOptions, testRoute } from "../testing/test-mesh.js";
import { explainCall, readQuestion } from "./explain.js";

const url = "http://test.example/items/7?page=2";

function meshOf(options: TestMeshOptions = {}) {
  const mesh = new TestMesh(new ScriptedService(), options);
  const targets = {
    find: (authority: string) => (authority === "test.example" ? mesh.target : null),
    explainUnknown: () => "known are test.example",
  };
  return { mesh, targets };
}

function explained(retry: Partial<RetryPolicyOptions>, timeoutMs: number, method = "GET", headers: string[] = []) {
  const { targets } = meshOf({ fallback: testRoute(retry, timeoutMs) });
  return explainCall({ method, url, headers }, targets);
}

describe("a call is explained", () => {
  test("with its route, its budget and its endpoints, without being made", () => {
    const items = {
      name: "items",
      match: { path: { kind: "prefix", value: "/items" }, method: "GET", headers: [] },
      timeoutMs: 800,
      retry: compileRetryPolicy(retryDefaults),
    } as const;
    const { targets } = meshOf({ routes: [items], endpoints: ["a:1", "b:2"] });
    const explanation = explainCall({ method: "GET", url }, targets);
    expect(explanation).toMatchObject({
      method: "GET",
      authority: "test.example",
      path: "/items/7?page=2",
      problem: null,
      route: { name: "items", timeoutMs: 800 },
      retryBudget: { ratio: 0.2, minPerSecond: 10, available: 100 },
    });
    expect(explanation.target?.endpoints.map(({ address, state, attempts }) => [address, state, attempts])).toEqual([
      ["a:1", "available", 0],
      ["b:2", "available", 0],
    ]);
    expect(explainCall({ method: "POST", url }, targets).route?.name).toBe("test");
  });

  test("with when its attempts begin: waits double up to the longest", () => {
    const { attempts } = explained({ limit: 4, perTryTimeoutMs: 300 }, 800);
    expect(attempts).toEqual([
      { attempt: 1, waitMs: [0, 0], latestStartMs: 0, timeoutMs: 300 },
      { attempt: 2, waitMs: [25, 50], latestStartMs: 350, timeoutMs: 300 },
      { attempt: 3, waitMs: [50, 100], latestStartMs: 750, timeoutMs: 300 },
      { attempt: 4, waitMs: [100, 200], latestStartMs: 1_250, timeoutMs: 300 },
      { attempt: 5, waitMs: [200, 250], latestStartMs: 1_800, timeoutMs: 300 },
    ]);
    expect(explained({ limit: 1 }, 0).attempts[1]?.latestStartMs).toBe(null);
    expect(explained({ limit: 1 }, 500).attempts[1]?.latestStartMs).toBe(500);
    expect(explained({ limit: 0 }, 0).attempts.length).toBe(1);
  });

  test.each<[string, Partial<RetryPolicyOptions>, string[], object]>([
    ["GET", {}, [], { reason: "safe-method", statuses: [502, 503, 504], interrupted: true, unprocessed: true }],
    ["POST", {}, [], { reason: "not-repeatable", statuses: [], interrupted: false, unprocessed: true }],
    ["POST", {}, ["idempotency-key", "1"], { reason: "idempotency-key", statuses: [502, 503, 504] }],
    ["PUT", { methods: ["PUT"] }, [], { reason: "listed-method", interrupted: true }],
    ["GET", { limit: 0 }, [], { reason: "off", unprocessed: false, statuses: [] }],
    ["POST", {}, ["content-type", "application/grpc"], { reason: "not-repeatable", grpcStatuses: [] }],
    [
      "POST",
      { grpcStatuses: [8, 14] },
      ["content-type", "application/grpc"],
      { reason: "grpc-status", grpcStatuses: [8, 14], interrupted: true, statuses: [] },
    ],
  ])("with after what it is repeated: %s %j %j", (method, retry, headers, expected) => {
    expect(explained(retry, 0, method, headers).retriedAfter).toMatchObject(expected);
  });

  test("with what stands in its way", () => {
    const { mesh, targets } = meshOf({ fallback: null, endpoints: [] });
    expect(explainCall({ method: "GET", url: "http://other/" }, targets)).toMatchObject({
      problem: "no service other: known are test.example",
      target: null,
      route: null,
    });
    expect(explainCall({ method: "GET", url }, targets).problem).toBe(
      "no route of test.example matches GET /items/7?page=2",
    );
    const routed = meshOf({ endpoints: [] });
    expect(explainCall({ method: "GET", url }, routed.targets).problem).toBe("no endpoint of test.example is known");
    mesh.target.close();
  });

  test("with the attempts beside one that does not answer, for what may be repeated", () => {
    const hedge = { delayMs: 100, limit: 1 };
    expect(explained({ hedge }, 0).hedge).toEqual(hedge);
    expect(explained({ hedge }, 0, "POST").hedge).toBe(null);
    expect(explained({ hedge }, 0, "POST", ["idempotency-key", "1"]).hedge).toEqual(hedge);
    expect(explained({}, 0).hedge).toBe(null);
  });

  test("with the endpoint that its key belongs to", () => {
    const hash = { by: "header", name: "x-user", maxLoad: 1.5 } as const;
    const { targets, mesh } = meshOf({ endpoints: ["a:1", "b:2"], balancing: { ...balancingDefaults, hash } });
    const owner = mesh.target.balancer;
    const asked = explainCall({ method: "GET", url, headers: ["x-user", "ann"] }, targets);
    expect(asked.hash).toEqual({ ...hash, endpoint: owner.ownerOf(["x-user", "ann"])?.key });
    expect(explainCall({ method: "GET", url }, targets).hash?.endpoint).toBe(null);
    expect(explained({}, 0)).toMatchObject({ hash: null });
  });

  test("with the states of its endpoints", () => {
    const failing = new ScriptedService({ error: transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "unsent") });
    const mesh = new TestMesh(failing);
    mesh.target.start();
    const [endpoint] = mesh.target.balancer.endpoints;
    for (let i = 0; i < 7; i++) endpoint!.accrual.recordFailure();
    const { target } = explainCall({ method: "GET", url }, { find: () => mesh.target, explainUnknown: () => "" });
    expect(target?.endpoints[0]?.state).toBe("ejected");
  });
});

describe("a question", () => {
  test("may leave the scheme out, and say headers", () => {
    const question = readQuestion(new URLSearchParams("method=PUT&url=test.example/a&header=X-Tier: gold"));
    expect(question).toEqual({ method: "PUT", url: "test.example/a", headers: ["x-tier", "gold"] });
    expect(explainCall(question, meshOf().targets)).toMatchObject({ authority: "test.example", path: "/a" });
  });

  test.each([
    ["method=GET", "url is missing"],
    ["method=http://a/&url=GET", 'method must be one such as GET, got "http://a/"; the URL comes after it'],
    ["url=a&header=nonsense", 'header must be name:value, got "nonsense"'],
  ])("that can't be understood is refused: %s", (question, message) => {
    expect(() => readQuestion(new URLSearchParams(question))).toThrow(message);
  });

  test("about what isn't a URL is refused", () => {
    expect(() => explainCall({ method: "GET", url: "http://a:b:c" }, meshOf().targets)).toThrow(
      'url must be a URL, got "http://a:b:c"',
    );
  });
});
