import { RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

function fixture(timeoutMs: number, request: TestRequest = {}, deadlineInMs = Number.POSITIVE_INFINITY) {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport, { fallback: testRoute({ limit: 0 }, timeoutMs) });
  const sink = new RecordingSink();
  const x = outboundExchange(request);
  x.deadlineAt = mesh.clock.now() + deadlineInMs;
  mesh.service.call(x, sink);
  return { mesh, sink, transport, x };
}

test("the time covers the body of the response too", () => {
  const { mesh, sink, transport } = fixture(500);
  transport.calls[0]!.sink.onHead(200, []);
  mesh.clock.advance(490);
  expect(sink.error).toBeNull();
  mesh.clock.advance(30);
  expect(sink.error?.code).toBe("SELVAGE_ERR_DEADLINE");
  expect(transport.calls[0]!.aborted?.progress).toBe("processed");
});

test("a response in time leaves nothing behind", () => {
  const { mesh, sink, transport } = fixture(500);
  transport.calls[0]!.answer({ body: "ok" });
  expect(mesh.wheel.size).toBe(0);
  mesh.clock.advance(1_000);
  expect([sink.text, sink.violations]).toEqual(["ok", []]);
});

test("the caller's earlier deadline wins, its later one does not", () => {
  const early = fixture(500, {}, 100);
  early.mesh.clock.advance(120);
  expect(early.sink.status).toBe(504);
  const late = fixture(500, {}, 10_000);
  late.mesh.clock.advance(520);
  expect(late.sink.status).toBe(504);
  const only = fixture(0, {}, 100);
  only.mesh.clock.advance(120);
  expect(only.sink.status).toBe(504);
});

test("what is late already is not sent", () => {
  const body = new TestBody();
  const { sink, transport } = fixture(0, { method: "POST", body }, 0);
  expect([sink.status, transport.calls.length, body.cancelled]).toEqual([504, 0, true]);
});

test("a tunnel's deadline ends with its head, unless it is refused", () => {
  const open = fixture(100, { tunnel: true });
  open.transport.calls[0]!.sink.onHead(101, []);
  open.mesh.clock.advance(1_000);
  expect(open.sink.error).toBeNull();
  const refused = fixture(100, { tunnel: true });
  refused.transport.calls[0]!.sink.onHead(403, []);
  refused.mesh.clock.advance(1_000);
  expect(refused.sink.error?.code).toBe("SELVAGE_ERR_DEADLINE");
});

const grpc = ["content-type", "application/grpc"];

test("a gRPC peer is told the earlier of the two deadlines", () => {
  const told = (timeoutMs: number, ...headers: string[]) =>
    fixture(timeoutMs, { method: "POST", headers: [...grpc, ...headers] }).transport.calls[0]!.x.headers;
  expect(told(500)).toEqual([...grpc, "grpc-timeout", "500000u"]);
  expect(told(500, "grpc-timeout", "1S")).toEqual([...grpc, "grpc-timeout", "500000u"]);
  expect(told(500, "grpc-timeout", "100m")).toEqual([...grpc, "grpc-timeout", "100m"]);
  expect(told(0, "grpc-timeout", "1S")).toEqual([...grpc, "grpc-timeout", "1S"]);
  expect(told(0)).toEqual(grpc);
});

test("a gRPC caller's timeout ends the exchange here too", () => {
  const { mesh, sink } = fixture(0, { method: "POST", headers: [...grpc, "grpc-timeout", "100m"] });
  mesh.clock.advance(120);
  expect([sink.status, sink.header("grpc-status")]).toEqual([200, "4"]);
});
