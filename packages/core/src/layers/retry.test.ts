import { type ExchangeError, type HeaderList, transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import type { MeshExchange } from "../exchange.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { seededRandom } from "../testing/seeded-random.js";
import { outboundExchange, TestMesh, type TestMeshOptions, type TestRequest, testRoute } from "../testing/test-mesh.js";

const ok: Answer = { status: 200, body: "ok" };
const unsent: Answer = { error: transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "unsent") };
const refused: Answer = { error: transportError("SELVAGE_ERR_REFUSED", "refused", "peer", "refused") };
const reset: Answer = { error: transportError("SELVAGE_ERR_RESET", "reset", "peer", "processed") };

/** Plays answers in turn, the last one for ever. `null` is for no answer. */
function play(answers: (Answer | null)[], request: TestRequest = {}, options: TestMeshOptions = {}) {
  let i = 0;
  const transport = new ScriptedService(() => answers[Math.min(i++, answers.length - 1)]!);
  const mesh = new TestMesh(transport, { endpoints: ["a:1", "b:1", "c:1"], ...options });
  const sink = new RecordingSink();
  const x = outboundExchange(request);
  mesh.service.call(x, sink);
  return { mesh, transport, sink, x };
}

function counts(mesh: TestMesh, name: string): string[] {
  return renderPrometheus(mesh.registry)
    .split("\n")
    .filter((line) => line.startsWith(`selvage_outbound_${name}`) && !line.endsWith(" 0"));
}

test.each([
  ["unsent", unsent, "POST"],
  ["refused", refused, "POST"],
  ["unsent", unsent, "GET"],
])("what the peer did not act on (%s) is repeated whatever the method", (reason, failure, method) => {
  const { mesh, sink, x } = play([failure, ok], { method });
  mesh.clock.advance(300);
  expect([sink.status, x.attempt]).toEqual([200, 2]);
  expect(counts(mesh, "retries")).toEqual([
    `selvage_outbound_retries_total{server_address="test.example",reason="${reason}"} 1`,
  ]);
});

test.each([
  ["GET", [], 2],
  ["HEAD", [], 2],
  ["POST", [], 1],
  ["PUT", [], 1],
  ["POST", ["idempotency-key", "1"], 2],
])("after the peer may have acted %s with %j is tried %i times", (method, headers: HeaderList, attempts) => {
  for (const failure of [reset, { status: 503 }]) {
    const { mesh, x } = play([failure, ok], { method, headers });
    mesh.clock.advance(300);
    expect(x.attempt).toBe(attempts);
  }
});

test("a response that is replaced is not seen, and its exchange is cancelled", () => {
  const { mesh, sink, transport } = play([null, ok]);
  const first = transport.calls[0]!;
  first.sink.onHead(503, ["x", "1"]);
  expect(first.aborted).not.toBeNull();
  mesh.clock.advance(300);
  expect([sink.status, sink.text, sink.violations]).toEqual([200, "ok", []]);
});

test("another attempt goes to another endpoint", () => {
  const seen: string[] = [];
  const transport = new ScriptedService((call) => {
    seen.push((call.x as MeshExchange).endpoint!.key);
    return unsent;
  });
  const endpoints = ["a:1", "b:1", "c:1"];
  for (let seed = 0; seed < 10; seed++) {
    seen.length = 0;
    const random = seededRandom(seed);
    const mesh = new TestMesh(transport, { endpoints, fallback: testRoute({ limit: 6 }), random });
    mesh.service.call(outboundExchange(), new RecordingSink());
    mesh.clock.advance(2_000);
    // All of them in turn: whoever is next was tried longest ago.
    expect(seen.slice(0, 3).sort()).toEqual(endpoints);
    expect(seen.slice(3)).toEqual([...seen.slice(0, 3), seen[0]]);
  }
});

test("at the limit the last answer is passed on, and counted", () => {
  const { mesh, sink, x } = play([{ status: 503, body: "busy" }], {}, { fallback: testRoute({ limit: 2 }) });
  mesh.clock.advance(1_000);
  expect([x.attempt, sink.status, sink.text]).toEqual([3, 503, "busy"]);
  expect(counts(mesh, "retry_limit")).toHaveLength(1);
});

test("statuses that the route does not name are passed on", () => {
  const { x, sink } = play([{ status: 500 }, ok]);
  expect([x.attempt, sink.status]).toEqual([1, 500]);
});

test("the caller's abort is not repeated, during an attempt or a wait", () => {
  const gone = transportError("SELVAGE_ERR_ABORTED", "gone", "caller", "unsent");
  const during = play([null]);
  during.x.flow.abort(gone);
  expect([during.sink.error, during.x.attempt]).toEqual([gone, 1]);
  const body = new TestBody();
  const waiting = play([{ status: 503 }, ok], { headers: ["idempotency-key", "1"], method: "POST", body });
  expect(waiting.transport.calls).toHaveLength(1);
  waiting.x.flow.abort(gone);
  waiting.x.flow.abort(gone);
  waiting.mesh.clock.advance(1_000);
  expect([waiting.sink.error, waiting.sink.violations, waiting.transport.calls.length]).toEqual([gone, [], 1]);
  expect(body.cancelled).toBe(true);
});

test("a caller that pauses during a wait finds the next attempt paused", () => {
  const { mesh, transport, x } = play([{ status: 503 }, null]);
  x.flow.pause();
  mesh.clock.advance(300);
  expect(transport.calls[1]!.paused).toBe(true);
});

test("retries are jittered between 25 and 250 ms, but the first after an unsent one goes at once", () => {
  const { mesh, transport } = play([unsent, unsent, ok], {}, { random: () => 0, fallback: testRoute({ limit: 3 }) });
  expect(transport.calls).toHaveLength(2);
  mesh.clock.advance(45);
  expect(transport.calls).toHaveLength(2);
  mesh.clock.advance(30);
  expect(transport.calls).toHaveLength(3);
});

test("each try has its own time, the last one too", () => {
  const { mesh, transport, sink } = play([null], {}, { fallback: testRoute({ limit: 1, perTryTimeoutMs: 100 }) });
  mesh.clock.advance(120);
  expect(transport.calls[0]!.aborted?.code).toBe("SELVAGE_ERR_PER_TRY_TIMEOUT");
  mesh.clock.advance(400);
  expect(transport.calls).toHaveLength(2);
  expect([sink.status, sink.header("l5d-proxy-error")]).toEqual([504, "no response within 100 ms (attempt 2)"]);
});

test("a try's time ends with its head", () => {
  const { mesh, transport, sink } = play([null], {}, { fallback: testRoute({ perTryTimeoutMs: 100 }) });
  transport.calls[0]!.sink.onHead(200, []);
  mesh.clock.advance(1_000);
  expect([transport.calls[0]!.aborted, sink.status]).toEqual([null, 200]);
});

test("a try's time ends with its failure", () => {
  const { mesh, transport, sink } = play([null], { method: "POST" }, { fallback: testRoute({ perTryTimeoutMs: 100 }) });
  transport.calls[0]!.answer(reset);
  expect([sink.status, mesh.wheel.size]).toEqual([502, 0]);
});

test("a timed-out POST is not repeated", () => {
  const { mesh, transport } = play([null], { method: "POST" }, { fallback: testRoute({ perTryTimeoutMs: 100 }) });
  mesh.clock.advance(1_000);
  expect(transport.calls).toHaveLength(1);
});

test("a retry that could not start before the deadline does not happen", () => {
  const { sink, x } = play([{ status: 503, body: "busy" }], {}, { fallback: testRoute({}, 20), random: () => 0 });
  expect([x.attempt, sink.status, sink.text]).toEqual([1, 503, "busy"]);
});

test.each([
  [["retry-after", "2"], 2],
  [["retry-after", "60"], 1],
  [["grpc-retry-pushback-ms", "-1"], 1],
  [["retry-after", "nonsense"], 2],
])("with %j there are %i attempts", (headers, attempts) => {
  const { mesh, x, transport } = play([{ status: 503, headers }, ok]);
  mesh.clock.advance(1_900);
  if (headers[1] === "2") expect(transport.calls).toHaveLength(1);
  mesh.clock.advance(200);
  expect(x.attempt).toBe(attempts);
});

test("an exhausted budget stops retries, except of what was never sent", () => {
  const retryBudget = { ratio: 0, minPerSecond: 1, ttlMs: 1_000 };
  const transport = new ScriptedService({ status: 503 });
  const mesh = new TestMesh(transport, { retryBudget });
  for (let i = 0; i < 3; i++) mesh.service.call(outboundExchange(), new RecordingSink());
  mesh.clock.advance(500);
  expect(transport.calls).toHaveLength(4);
  expect(counts(mesh, "retry_budget")).toEqual([
    'selvage_outbound_retry_budget_exhausted_total{server_address="test.example"} 2',
  ]);
  const { transport: connecting } = play(
    [unsent, ok],
    {},
    { retryBudget: { ratio: 0, minPerSecond: 0, ttlMs: 1_000 } },
  );
  expect(connecting.calls).toHaveLength(2);
});

test("a body is sent again, also while it is still coming", async () => {
  const body = new TestBody();
  body.push("ab");
  const { mesh, transport, sink } = play([refused, null], { method: "POST", body });
  mesh.clock.advance(300);
  const second = transport.calls[1]!;
  body.push("cd");
  body.end();
  expect((await second.body).toString()).toBe("abcd");
  second.answer(ok);
  expect([sink.text, body.cancelled]).toEqual(["ok", false]);
});

test("a body beyond 64 KiB streams on and is not repeated", () => {
  const body = new TestBody();
  body.push(Buffer.alloc(65_537));
  const { mesh, transport, sink } = play([null, ok], { method: "PUT", body, headers: ["idempotency-key", "1"] });
  expect(Buffer.concat(transport.calls[0]!.chunks).length).toBe(65_537);
  transport.calls[0]!.answer(reset);
  mesh.clock.advance(300);
  expect([sink.status, transport.calls.length, body.cancelled]).toEqual([502, 1, true]);
});

test("after a head was passed on a failure is passed on too", () => {
  const { sink } = play([{ status: 200, body: "part", error: reset.error as ExchangeError }, ok]);
  expect([sink.status, sink.text, sink.error?.code]).toEqual([200, "part", "SELVAGE_ERR_RESET"]);
});

const grpc = ["content-type", "application/grpc"];

test.each([
  ["trailers-only UNAVAILABLE", { headers: ["grpc-status", "14"] }, 2],
  ["a gateway's 503", { status: 503 }, 2],
  ["trailers-only INTERNAL", { headers: ["grpc-status", "13"] }, 1],
  ["UNAVAILABLE after a head", { trailers: ["grpc-status", "14"] }, 1],
  ["a reset", reset, 2],
] as [string, Answer, number][])("gRPC with %s and UNAVAILABLE in the route", (_, answer, attempts) => {
  const fallback = testRoute({ grpcStatuses: [14] });
  const { mesh, x } = play([answer, ok], { method: "POST", headers: grpc }, { fallback });
  mesh.clock.advance(300);
  expect(x.attempt).toBe(attempts);
});

test("gRPC is not repeated unless the route names statuses", () => {
  const { mesh, x } = play([{ headers: ["grpc-status", "14"] }, ok], { method: "POST", headers: grpc });
  mesh.clock.advance(300);
  expect(x.attempt).toBe(1);
});

test("what the mesh refuses, and a full queue of the engine, is not repeated", () => {
  const overflow: Answer = { error: transportError("SELVAGE_ERR_OVERFLOW", "full", "local", "unsent") };
  expect(play([overflow, ok]).x.attempt).toBe(1);
  const headers = ["l5d-require-id", "spiffe://t/other"];
  const { sink, transport, x } = play([ok], { headers });
  expect([sink.status, transport.calls.length, x.attempt]).toEqual([502, 0, 1]);
});

test("each attempt starts with the headers of the first", () => {
  const seen: HeaderList[] = [];
  const transport = new ScriptedService((call) => {
    seen.push(call.x.headers);
    call.x.headers = [...call.x.headers, "l5d-orig-proto", "HTTP/1.1"];
    return unsent;
  });
  const headers = ["a", "b"];
  new TestMesh(transport).service.call(outboundExchange({ headers }), new RecordingSink());
  expect(seen).toEqual([headers, headers]);
});
