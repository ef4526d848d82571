import { transportError } from "@selvage/http2";
import { RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import type { FaultConfig } from "../config/config.js";
import { anyMatch } from "../router/route-match.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { seededRandom } from "../testing/seeded-random.js";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

class Fixture {
  readonly transport = new ScriptedService({ body: "ok" });
  readonly mesh: TestMesh;

  constructor(fault: Partial<FaultConfig>, timeoutMs = 0) {
    const match = { ...anyMatch, path: { kind: "prefix", value: "/items" } } as const;
    const route = { ...testRoute({}, timeoutMs), name: "items", match, fault: { delay: null, abort: null, ...fault } };
    this.mesh = new TestMesh(this.transport, { routes: [route], random: seededRandom(5) });
  }

  call(request: TestRequest = {}): { sink: RecordingSink; x: ReturnType<typeof outboundExchange> } {
    const sink = new RecordingSink();
    const x = outboundExchange({ path: "/items", ...request });
    this.mesh.service.call(x, sink);
    return { sink, x };
  }

  get counted(): string[] {
    return renderPrometheus(this.mesh.registry)
      .split("\n")
      .filter((line) => line.startsWith("selvage_faults_total") || line.startsWith("selvage_outbound_retries"));
  }
}

const abort = { status: 429, grpcStatus: 8, ratio: 1 };
const delay = { durationMs: 200, ratio: 1 };

test("an aborted request is answered with the reason, reaches nobody, and is not retried", () => {
  const f = new Fixture({ abort });
  const body = new TestBody();
  const { sink } = f.call({ method: "POST", body });
  expect([sink.status, sink.header("l5d-proxy-error")]).toEqual([
    429,
    "fault injected: status 429, by route items of test.example",
  ]);
  expect(body.cancelled).toBe(true);
  expect(f.transport.calls).toHaveLength(0);
  expect(f.counted).toEqual(['selvage_faults_total{server_address="test.example",kind="abort"} 1']);
  expect(f.mesh.target.inFlight).toBe(0);
});

test("a gRPC request gets the gRPC status", () => {
  const { sink } = new Fixture({ abort }).call({ method: "POST", headers: ["content-type", "application/grpc"] });
  expect([sink.status, sink.header("grpc-status")]).toEqual([200, "8"]);
  expect(sink.header("l5d-proxy-error")).toContain("gRPC status 8");
});

test("only what the route matches", () => {
  expect(new Fixture({ abort }).call({ path: "/other" }).sink.status).toBe(200);
});

test("as often as the share says", () => {
  const f = new Fixture({ abort: { ...abort, ratio: 0.1 } });
  let aborted = 0;
  for (let i = 0; i < 10_000; i++) if (f.call().sink.status === 429) aborted++;
  expect(aborted).toBeGreaterThan(900);
  expect(aborted).toBeLessThan(1_100);
  expect(new Fixture({ abort: { ...abort, ratio: 0 } }).call().sink.status).toBe(200);
});

test("a delayed request goes on after the delay, with its body", async () => {
  const f = new Fixture({ delay });
  const body = new TestBody();
  const { sink } = f.call({ method: "POST", body });
  body.push("hello");
  body.end();
  f.mesh.clock.advance(190);
  expect(f.transport.calls).toHaveLength(0);
  f.mesh.clock.advance(30);
  expect((await f.transport.calls[0]!.body).toString()).toBe("hello");
  expect([sink.text, sink.violations]).toEqual(["ok", []]);
  expect(f.counted).toEqual(['selvage_faults_total{server_address="test.example",kind="delay"} 1']);
  expect(f.mesh.wheel.size).toBe(0);
});

test("the delay is within the deadline", () => {
  const f = new Fixture({ delay }, 100);
  const { sink } = f.call();
  f.mesh.clock.advance(120);
  expect([sink.status, f.transport.calls.length]).toEqual([504, 0]);
  f.mesh.clock.advance(500);
  expect([f.transport.calls.length, f.mesh.wheel.size, sink.violations]).toEqual([0, 0, []]);
});

test("a caller that gives up meanwhile is not made to wait", () => {
  const f = new Fixture({ delay });
  const body = new TestBody();
  const { sink, x } = f.call({ method: "POST", body });
  x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "gone", "caller"));
  expect([sink.error?.code, body.cancelled, f.mesh.wheel.size]).toEqual(["SELVAGE_ERR_ABORTED", true, 0]);
});

test("a caller that pauses meanwhile is heard", () => {
  const quiet = new ScriptedService(null);
  const mesh = new TestMesh(quiet, {
    routes: [{ ...testRoute({ limit: 0 }), fault: { delay, abort: null } }],
  });
  const x = outboundExchange();
  mesh.service.call(x, new RecordingSink());
  x.flow.pause();
  mesh.clock.advance(220);
  expect(quiet.calls[0]!.paused).toBe(true);
});

test("first the delay, then the abort", () => {
  const f = new Fixture({ delay, abort });
  const { sink } = f.call();
  expect(sink.status).toBe(0);
  f.mesh.clock.advance(220);
  expect(sink.status).toBe(429);
});
