import { RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

const idleTimeoutMs = 400;

function fixture(request: TestRequest = {}) {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport, { fallback: { ...testRoute({ limit: 2 }), idleTimeoutMs } });
  const sink = new RecordingSink();
  mesh.service.call(outboundExchange(request), sink);
  return { mesh, sink, call: transport.calls[0]!, transport };
}

test("an exchange without an answer ends after the idle timeout, at most a quarter later, and is not repeated", () => {
  const { mesh, sink, call, transport } = fixture();
  mesh.clock.advance(390);
  expect(call.aborted).toBeNull();
  mesh.clock.advance(130);
  expect(call.aborted).toMatchObject({ code: "SELVAGE_ERR_IDLE", progress: "processed" });
  expect([sink.status, transport.calls.length, mesh.wheel.size]).toEqual([504, 1, 0]);
});

test("what comes and what goes both keep it alive, for as long as it lasts", () => {
  const body = new TestBody();
  const { mesh, sink, call } = fixture({ method: "POST", body });
  for (let i = 0; i < 5; i++) {
    mesh.clock.advance(300);
    body.push("a");
    mesh.clock.advance(300);
    if (i === 0) call.sink.onHead(200, []);
    call.sink.onData(Buffer.from("b"));
  }
  expect(sink.error).toBeNull();
  body.end();
  mesh.clock.advance(300);
  call.sink.onEnd(null);
  expect([sink.text, sink.violations, mesh.wheel.size]).toEqual(["bbbbb", [], 0]);
});

test("a response that stops in the middle is cut", () => {
  const { mesh, sink, call } = fixture();
  mesh.clock.advance(100);
  call.sink.onHead(200, []);
  call.sink.onData(Buffer.from("b"));
  mesh.clock.advance(380);
  expect(sink.error).toBeNull();
  mesh.clock.advance(150);
  expect(sink.error?.code).toBe("SELVAGE_ERR_IDLE");
});
