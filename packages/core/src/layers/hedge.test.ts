import { type HeaderList, transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { describe, expect, test } from "vitest";
import type { MeshExchange } from "../exchange.js";
import type { RetryPolicyOptions } from "../resilience/retry-policy.js";
import { seededRandom } from "../testing/seeded-random.js";
import {
  endpointAddress,
  outboundExchange,
  TestMesh,
  type TestMeshOptions,
  type TestRequest,
  testRoute,
} from "../testing/test-mesh.js";

const ok: Answer = { status: 200, body: "ok" };
const busy: Answer = { status: 503, body: "busy" };
const unsent: Answer = { error: transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "unsent") };
const reset: Answer = { error: transportError("SELVAGE_ERR_RESET", "reset", "peer", "processed") };
const gone = transportError("SELVAGE_ERR_ABORTED", "gone", "caller");

/** Endpoints that answer when the test says so. */
function hedged(request: TestRequest = {}, retry: Partial<RetryPolicyOptions> = {}, options: TestMeshOptions = {}) {
  const transport = new ScriptedService(null);
  const fallback = testRoute({ limit: 0, hedge: { delayMs: 100, limit: 1 }, ...retry });
  const mesh = new TestMesh(transport, { endpoints: ["a:1", "b:1", "c:1"], fallback, ...options });
  const sink = new RecordingSink();
  const x = outboundExchange(request);
  mesh.service.call(x, sink);
  const { calls } = transport;
  const endpointOf = (i: number) => (calls[i]!.x as MeshExchange).endpoint!;
  return { mesh, calls, sink, x, endpointOf };
}

function retried(mesh: TestMesh, reason: string): number {
  return mesh.metrics.retries.with("test.example", reason).value;
}

function attempts(mesh: TestMesh): number[] {
  const { success, failure, notCounted } = mesh.target.attemptMetrics;
  return [success.value, failure.value, notCounted.value];
}

describe("an attempt beside another one", () => {
  test("is made after the delay, on another endpoint, and its head wins", () => {
    const { mesh, calls, sink, x, endpointOf } = hedged();
    mesh.clock.advance(90);
    expect(calls).toHaveLength(1);
    mesh.clock.advance(30);
    expect(calls).toHaveLength(2);
    expect(endpointOf(1)).not.toBe(endpointOf(0));
    calls[1]!.answer(ok);
    expect([sink.status, sink.text, sink.violations]).toEqual([200, "ok", []]);
    expect(calls[0]!.aborted).toMatchObject({ origin: "local" });
    expect(x.endpoint).toBe(endpointOf(1));
    expect([retried(mesh, "hedge"), mesh.wheel.size, mesh.target.inFlight]).toEqual([1, 0, 0]);
  });

  test("is cancelled when the first answers after all", () => {
    const { mesh, calls, sink, x, endpointOf } = hedged();
    mesh.clock.advance(120);
    calls[0]!.sink.onHead(200, []);
    expect(calls[1]!.aborted).not.toBeNull();
    calls[0]!.sink.onData(Buffer.from("a"));
    calls[0]!.sink.onEnd(null);
    expect([sink.text, sink.violations, x.endpoint]).toEqual(["a", [], endpointOf(0)]);
    mesh.clock.advance(1_000);
    expect(calls).toHaveLength(2);
  });

  test("is not made when there was a head in time, however long the body takes", () => {
    const { mesh, calls } = hedged();
    calls[0]!.sink.onHead(200, []);
    mesh.clock.advance(1_000);
    expect([calls.length, mesh.wheel.size]).toEqual([1, 0]);
  });

  test("says nothing about who lost, for failure accrual; for balancing, that it was slow", () => {
    const { mesh, calls, endpointOf } = hedged();
    mesh.clock.advance(250);
    calls[1]!.answer(ok);
    expect(attempts(mesh)).toEqual([1, 0, 1]);
    expect(endpointOf(0).failures).toBe(0);
    expect(endpointOf(0).load.estimateMs).toBe(250);
    expect(endpointOf(1).load.estimateMs).toBeLessThanOrEqual(150);
  });

  test("is a failure of who had twice as long as the winner needed, and of nobody who began later", () => {
    const { mesh, calls, endpointOf } = hedged({}, { hedge: { delayMs: 100, limit: 2 } });
    mesh.clock.advance(320);
    calls[1]!.sink.onHead(200, []);
    expect(attempts(mesh)).toEqual([0, 0, 2]);
    mesh.service.call(outboundExchange(), new RecordingSink());
    mesh.clock.advance(120);
    calls[4]!.sink.onHead(200, []);
    expect(attempts(mesh)).toEqual([0, 1, 2]);
    expect(endpointOf(3).failures).toBe(1);
    expect(endpointOf(3).load.estimateMs).toBeGreaterThanOrEqual(120);
  });

  test("gets who never answers ejected, and not who answers now and then", () => {
    const { mesh, calls, endpointOf } = hedged({}, {}, { endpoints: ["a:1", "b:1", "c:1", "d:1"] });
    calls[0]!.answer(ok);
    const [hole, slow] = [...mesh.target.balancer.endpoints];
    let met = 0;
    for (let i = 0; i < 1_000; i++) {
      const sink = new RecordingSink();
      const at = calls.length;
      mesh.service.call(outboundExchange(), sink);
      if (endpointOf(at) === hole || (endpointOf(at) === slow && ++met % 5 > 0)) mesh.clock.advance(115);
      if (endpointOf(calls.length - 1) !== hole) calls[calls.length - 1]!.answer(ok);
      else mesh.clock.advance(115);
      if (sink.status === 0) calls.find(({ aborted }, n) => n > at && aborted === null)?.answer(ok);
      // For loads to be forgotten, so that everybody is asked.
      mesh.clock.advance(1_000);
      if (hole!.state !== "available") break;
    }
    expect([hole!.state, hole!.failures]).toEqual(["ejected", 7]);
    expect([slow!.state, slow!.failures > 3]).toEqual(["available", true]);
  });

  test("gives a lost probe back", () => {
    const { mesh, calls, endpointOf } = hedged({}, {}, { endpoints: ["a:1", "b:1"], random: () => 0 });
    calls[0]!.answer(ok);
    const probed = endpointOf(0);
    for (let i = 0; i < 7; i++) probed.accrual.recordFailure();
    mesh.clock.advance(1_010);
    expect(probed.state).toBe("probing");
    for (const endpoint of mesh.target.balancer.endpoints) if (endpoint !== probed) endpoint.load.start();
    mesh.service.call(outboundExchange(), new RecordingSink());
    expect([endpointOf(1) === probed, probed.accrual.ready]).toEqual([true, false]);
    mesh.clock.advance(250);
    calls[2]!.answer(ok);
    expect([probed.state, probed.accrual.ready]).toEqual(["probing", true]);
  });
});

describe("failures", () => {
  test("of the first do not wait for the delay", () => {
    const { calls, sink } = hedged();
    calls[0]!.answer(reset);
    expect([sink.status, calls.length]).toEqual([502, 1]);
  });

  test.each([
    ["a status worth a retry", busy],
    ["an error", reset],
  ])("of one leave the other: %s", (_, failure) => {
    for (const [failing, other] of [
      [0, 1],
      [1, 0],
    ] as const) {
      const { mesh, calls, sink } = hedged();
      mesh.clock.advance(120);
      calls[failing]!.answer(failure);
      expect([sink.status, calls[other]!.aborted]).toEqual([0, null]);
      calls[other]!.answer(ok);
      expect([sink.status, sink.text, sink.violations]).toEqual([200, "ok", []]);
      expect(attempts(mesh)).toEqual([1, 1, 0]);
    }
  });

  test("of both are the last one's, and say that the request may have been acted on", () => {
    const { mesh, calls, x, sink } = hedged();
    mesh.clock.advance(120);
    calls[0]!.answer(busy);
    calls[1]!.answer(unsent);
    expect(x.error).toMatchObject({ code: "SELVAGE_ERR_CONNECT", progress: "processed" });
    expect(sink.status).toBe(502);
  });

  test("of both are repeated as one attempt's, which has no other beside it any more", () => {
    const { mesh, calls, sink } = hedged({}, { limit: 1 });
    mesh.clock.advance(120);
    calls[0]!.answer(reset);
    calls[1]!.answer(reset);
    mesh.clock.advance(60);
    expect(calls).toHaveLength(3);
    mesh.clock.advance(500);
    expect(calls).toHaveLength(3);
    calls[2]!.answer(ok);
    expect([sink.status, retried(mesh, "hedge"), retried(mesh, "transport")]).toEqual([200, 1, 1]);
  });

  test("a status worth a retry that wins alone is repeated", () => {
    const { mesh, calls, sink } = hedged({}, { limit: 1 });
    calls[0]!.answer(busy);
    mesh.clock.advance(60);
    calls[1]!.answer(ok);
    expect([sink.status, sink.violations]).toEqual([200, []]);
  });

  test("after the head are the caller's", () => {
    const { mesh, calls, sink } = hedged();
    mesh.clock.advance(120);
    calls[1]!.sink.onHead(200, []);
    calls[1]!.sink.onError(reset.error!);
    expect([sink.status, sink.error?.code, sink.violations]).toEqual([200, "SELVAGE_ERR_RESET", []]);
  });
});

describe("ends", () => {
  test("the caller's abort ends all attempts, once", () => {
    const { mesh, calls, sink, x } = hedged();
    mesh.clock.advance(120);
    x.flow.abort(gone);
    x.flow.abort(gone);
    expect(calls.map(({ aborted }) => aborted !== null)).toEqual([true, true]);
    expect([sink.error, sink.violations, mesh.wheel.size, mesh.target.inFlight]).toEqual([gone, [], 0, 0]);
  });

  test("the caller's abort after the head reaches who won", () => {
    const { mesh, calls, sink, x } = hedged();
    mesh.clock.advance(120);
    calls[1]!.sink.onHead(200, []);
    x.flow.abort(gone);
    expect([calls[1]!.aborted, sink.error, sink.violations]).toEqual([gone, gone, []]);
  });

  test("the time of a try counts against the endpoint that had it, not against who came later", () => {
    const { mesh, calls, sink, endpointOf } = hedged({}, { perTryTimeoutMs: 300 });
    mesh.clock.advance(320);
    expect(calls.map(({ aborted }) => aborted !== null)).toEqual([true, true]);
    expect([sink.status, attempts(mesh)]).toEqual([504, [0, 1, 1]]);
    expect([endpointOf(0).failures, endpointOf(1).failures]).toEqual([1, 0]);
  });

  test("the deadline ends all attempts", () => {
    const { mesh, calls, sink } = hedged({}, {}, { fallback: testRoute({ hedge: { delayMs: 100, limit: 1 } }, 300) });
    mesh.clock.advance(320);
    expect([sink.status, calls.every(({ over }) => over)]).toEqual([504, true]);
  });

  test("pauses reach all attempts, those to come too, and then who won", () => {
    const { mesh, calls, x } = hedged();
    x.flow.pause();
    mesh.clock.advance(120);
    expect(calls.map(({ paused }) => paused)).toEqual([true, true]);
    calls[1]!.sink.onHead(200, []);
    x.flow.resume();
    expect(calls[1]!.paused).toBe(false);
  });
});

describe("what is not hedged", () => {
  const grpc = ["content-type", "application/grpc"];

  test.each<[string, TestRequest, Partial<RetryPolicyOptions>, number]>([
    ["POST", { method: "POST" }, {}, 1],
    ["POST with a key", { method: "POST", headers: ["idempotency-key", "1"] }, {}, 2],
    ["a method that the route names", { method: "PUT" }, { methods: ["PUT"] }, 2],
    ["gRPC", { method: "POST", headers: grpc }, { grpcStatuses: [14] }, 1],
    ["gRPC where the route names POST", { method: "POST", headers: grpc }, { methods: ["POST"] }, 2],
    ["a tunnel", { tunnel: true, headers: ["upgrade", "x"] }, {}, 1],
    ["a route without", {}, { hedge: null }, 1],
    ["a limit of 0", {}, { hedge: { delayMs: 100, limit: 0 } }, 1],
  ])("%s", (_, request, retry, expected) => {
    const { mesh, calls } = hedged(request, retry);
    mesh.clock.advance(1_000);
    expect(calls).toHaveLength(expected);
  });

  test("what there is no other endpoint for", () => {
    const { mesh, calls } = hedged({}, {}, { endpoints: ["a:1"] });
    mesh.clock.advance(1_000);
    expect([calls.length, retried(mesh, "hedge")]).toEqual([1, 0]);
    mesh.resolver.set(["a:1", "b:1"].map(endpointAddress));
    mesh.clock.advance(120);
    expect(calls).toHaveLength(2);
  });

  test("what the budget has nothing left for", () => {
    const { mesh, calls } = hedged({}, {}, { retryBudget: { ratio: 0, minPerSecond: 0, ttlMs: 1_000 } });
    mesh.clock.advance(1_000);
    expect([calls.length, retried(mesh, "hedge")]).toEqual([1, 0]);
    expect(mesh.target.retryMetrics.budgetExhausted.value).toBe(1);
  });

  test("what still waits for an endpoint", () => {
    const { mesh, calls } = hedged({}, {}, { endpoints: [] });
    mesh.clock.advance(500);
    expect([calls.length, retried(mesh, "hedge"), mesh.target.balancer.queued]).toEqual([0, 0, 1]);
  });
});

describe("each of several goes where none was", () => {
  const endpointsOf = (calls: readonly { readonly x: unknown }[]) =>
    new Set(calls.map(({ x }) => (x as MeshExchange).endpoint));

  test("of those beside it", () => {
    for (let seed = 0; seed < 10; seed++) {
      const { mesh, calls } = hedged({}, { hedge: { delayMs: 100, limit: 3 } }, { random: seededRandom(seed) });
      mesh.clock.advance(1_000);
      expect([calls.length, endpointsOf(calls).size]).toEqual([3, 3]);
      mesh.resolver.set(["a:1", "b:1", "c:1", "d:1"].map(endpointAddress));
      mesh.clock.advance(200);
      expect([calls.length, endpointsOf(calls).size]).toEqual([4, 4]);
    }
  });

  test("of those before it, and when all have failed where the first of them did", () => {
    for (let seed = 0; seed < 10; seed++) {
      const retry = { limit: 2, hedge: { delayMs: 100, limit: 2 } };
      const { mesh, calls, endpointOf } = hedged({}, retry, { random: seededRandom(seed) });
      mesh.clock.advance(120);
      calls[1]!.answer(reset);
      calls[0]!.answer(reset);
      mesh.clock.advance(60);
      expect([calls.length, endpointsOf(calls).size]).toEqual([3, 3]);
      mesh.clock.advance(120);
      expect([calls.length, endpointOf(3)]).toEqual([4, endpointOf(1)]);
    }
  });
});

describe("bodies", () => {
  const keyed: HeaderList = ["idempotency-key", "1"];

  test("are sent to both when they have come", async () => {
    const body = new TestBody();
    body.push("ab");
    body.push("cd");
    body.end();
    const { mesh, calls, sink } = hedged({ method: "POST", body, headers: keyed });
    mesh.clock.advance(120);
    expect((await calls[0]!.body).toString()).toBe("abcd");
    expect((await calls[1]!.body).toString()).toBe("abcd");
    calls[1]!.answer(ok);
    expect([sink.text, sink.violations]).toEqual(["ok", []]);
  });

  test("are waited for", async () => {
    const body = new TestBody();
    body.push("ab");
    const { mesh, calls } = hedged({ method: "POST", body, headers: keyed });
    mesh.clock.advance(150);
    expect(calls).toHaveLength(1);
    body.end();
    mesh.clock.advance(100);
    expect((await calls[1]!.body).toString()).toBe("ab");
  });

  test("that are too long to be kept are sent once", () => {
    const body = new TestBody();
    body.push(Buffer.alloc(65_537));
    body.end();
    const { mesh, calls } = hedged({ method: "POST", body, headers: keyed });
    mesh.clock.advance(1_000);
    expect(calls).toHaveLength(1);
  });

  test("of who won go on when the other is cancelled, and are sent again when both failed", async () => {
    const body = new TestBody();
    body.push("ab");
    body.end();
    const { mesh, calls } = hedged({ method: "POST", body, headers: keyed }, { limit: 1 });
    mesh.clock.advance(120);
    calls[0]!.answer(reset);
    calls[1]!.answer(reset);
    mesh.clock.advance(60);
    expect((await calls[2]!.body).toString()).toBe("ab");
  });
});
