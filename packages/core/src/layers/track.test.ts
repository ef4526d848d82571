import { transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import type { Endpoint } from "../balancer/endpoint.js";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

const grpc: TestRequest = { method: "POST", headers: ["content-type", "application/grpc"] };

function fixture(answer: Answer | null = null) {
  const transport = new ScriptedService(answer);
  const mesh = new TestMesh(transport, { fallback: testRoute({ limit: 0 }), random: () => 0 });
  mesh.target.start();
  const [endpoint] = mesh.target.balancer.endpoints as Iterable<Endpoint>;
  const call = (request: TestRequest = {}) => {
    const sink = new RecordingSink();
    mesh.service.call(outboundExchange(request), sink);
    return { sink, call: transport.calls.at(-1)! };
  };
  return { mesh, endpoint: endpoint!, call };
}

function attempts(mesh: TestMesh): number[] {
  const { success, failure, notCounted } = mesh.target.attemptMetrics;
  return [success.value, failure.value, notCounted.value];
}

test("the latency is the time to the first byte of the body", () => {
  const { mesh, endpoint, call } = fixture();
  const { call: pending } = call();
  expect([endpoint.load.pending, endpoint.inFlight]).toEqual([1, 1]);
  mesh.clock.advance(50);
  pending.sink.onHead(200, []);
  mesh.clock.advance(50);
  pending.sink.onData(Buffer.from("a"));
  expect([endpoint.load.pending, endpoint.inFlight, endpoint.load.estimateMs]).toEqual([0, 1, 100]);
  mesh.clock.advance(5_000);
  pending.sink.onEnd(null);
  expect([endpoint.inFlight, endpoint.load.estimateMs]).toEqual([0, 100]);
  expect(attempts(mesh)).toEqual([1, 0, 0]);
});

test.each([
  ["503", { status: 503 }, {}],
  ["500", { status: 500, body: "x" }, {}],
  ["a reset", { error: transportError("SELVAGE_ERR_RESET", "", "peer") }, {}],
  ["a failed connection", { error: transportError("SELVAGE_ERR_CONNECT", "", "peer", "unsent") }, {}],
  ["gRPC UNAVAILABLE", { headers: ["grpc-status", "14"] }, grpc],
  ["gRPC INTERNAL in trailers", { trailers: ["grpc-status", "13"] }, grpc],
  ["gRPC without a status", {}, grpc],
] as [string, Answer, TestRequest][])(
  "%s is a failure that looks slow, and seven in a row eject",
  (_, answer, request) => {
    const { mesh, endpoint, call } = fixture(answer);
    call(request);
    expect(endpoint.load.estimateMs).toBeGreaterThanOrEqual(5_000);
    for (let i = 0; i < 6; i++) call(request);
    expect([endpoint.state, endpoint.failures]).toEqual(["ejected", 7]);
    expect(attempts(mesh)).toEqual([0, 7, 0]);
  },
);

test.each([
  ["429", { status: 429 }, {}],
  ["gRPC RESOURCE_EXHAUSTED", { headers: ["grpc-status", "8"] }, grpc],
] as [string, Answer, TestRequest][])("%s looks slow and does not eject", (_, answer, request) => {
  const { mesh, endpoint, call } = fixture(answer);
  for (let i = 0; i < 10; i++) call(request);
  expect(endpoint.load.estimateMs).toBeGreaterThanOrEqual(5_000);
  expect(endpoint.state).toBe("available");
  expect(attempts(mesh)).toEqual([10, 0, 0]);
});

test("a peer that asks for a wait looks slow for that long, up to 5 minutes", () => {
  const { endpoint, call } = fixture({ status: 503, headers: ["retry-after", "60"] });
  call();
  expect(endpoint.load.estimateMs).toBe(60_000);
  const long = fixture({ status: 429, headers: ["retry-after", "86400"] });
  long.call();
  expect(long.endpoint.load.estimateMs).toBe(300_000);
});

test.each([
  ["grpc-retry-pushback-ms", ["grpc-status", "14", "grpc-retry-pushback-ms", "60000"], 60_000],
  ["one that is negative", ["grpc-status", "14", "grpc-retry-pushback-ms", "-1"], 5_000],
  ["one that is nonsense", ["grpc-status", "8", "grpc-retry-pushback-ms", "soon"], 5_000],
])("gRPC peers ask for it by %s", (_, headers, expected) => {
  const { endpoint, call } = fixture({ headers });
  call(grpc);
  expect(endpoint.load.estimateMs).toBe(expected);
});

test("gRPC PERMISSION_DENIED is a failure, and no reason to send others less", () => {
  const { endpoint, call } = fixture({ headers: ["grpc-status", "7"] });
  call(grpc);
  expect([endpoint.failures, endpoint.load.estimateMs]).toEqual([1, 30]);
});

test("what the caller gave up says nothing about the endpoint, but that it took at least so long", () => {
  const { mesh, endpoint, call } = fixture();
  for (let i = 0; i < 10; i++) {
    const { call: pending } = call();
    mesh.clock.advance(200);
    pending.abort(transportError("SELVAGE_ERR_ABORTED", "", "caller"));
  }
  expect([endpoint.state, endpoint.failures, endpoint.inFlight]).toEqual(["available", 0, 0]);
  expect(endpoint.load.estimateMs).toBeGreaterThanOrEqual(200);
  expect(attempts(mesh)).toEqual([0, 0, 10]);
});

test("an endpoint that only lets deadlines pass is ejected", () => {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport, { fallback: testRoute({ limit: 0 }, 100) });
  for (let i = 0; i < 7; i++) {
    mesh.service.call(outboundExchange(), new RecordingSink());
    mesh.clock.advance(150);
  }
  expect(mesh.target.describe().endpoints[0]).toMatchObject({ state: "ejected", failures: 7, inFlight: 0 });
});

test("a probe that streams is believed at its first byte, one that is given up is repeated", () => {
  const { mesh, endpoint, call } = fixture();
  for (let i = 0; i < 7; i++) call().call.answer({ status: 500 });
  mesh.clock.advance(1_020);
  expect(endpoint.state).toBe("probing");
  call().call.abort(transportError("SELVAGE_ERR_ABORTED", "", "caller"));
  expect([endpoint.state, endpoint.accrual.ready]).toEqual(["probing", true]);
  const { call: probe } = call();
  expect(endpoint.accrual.ready).toBe(false);
  probe.sink.onHead(200, []);
  expect(endpoint.state).toBe("probing");
  probe.sink.onData(Buffer.from("event"));
  expect(endpoint.state).toBe("available");
});

test("a response that breaks off is a failure", () => {
  const { mesh, endpoint, call } = fixture();
  const error = transportError("SELVAGE_ERR_CLOSED", "", "peer");
  for (let i = 0; i < 7; i++) call().call.answer({ status: 200, body: "part", error });
  expect([endpoint.state, attempts(mesh)]).toEqual(["ejected", [0, 7, 0]]);
});
