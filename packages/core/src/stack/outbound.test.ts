import { transportError } from "@selvage/http2";
import { RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { renderPrometheus } from "../telemetry/prometheus.js";
import { outboundExchange, TestMesh, testRoute } from "../testing/test-mesh.js";
import { describeOutbound, endpointLayers, outboundLayers, outboundStack } from "./outbound.js";

test("an outbound request meets the layers in this order", () => {
  const mesh = new TestMesh(new ScriptedService());
  mesh.target.start();
  const [endpoint] = mesh.target.balancer.endpoints;
  const outer = outboundLayers({
    ...mesh,
    random: Math.random,
    targets: { find: () => null, explainUnknown: () => "" },
  });
  const inner = endpointLayers(endpoint!, endpoint!.transport, mesh.clock);
  expect(describeOutbound(outer, inner)).toBe(
    "rescue → measure → trace → route → shed → filter → deadline → retry → balance → [per endpoint: track → requireIdentity → transport]",
  );
});

test("a request reaches an endpoint and its response comes back as it is", async () => {
  const transport = new ScriptedService({ status: 201, headers: ["x-a", "1"], body: "hello", trailers: ["t", "2"] });
  const mesh = new TestMesh(transport);
  const sink = new RecordingSink();
  mesh.service.call(outboundExchange({ path: "/items" }), sink);
  await sink.done;
  expect([sink.status, sink.headers, sink.text, sink.trailers]).toEqual([201, ["x-a", "1"], "hello", ["t", "2"]]);
  expect(transport.calls[0]!.x.path).toBe("/items");
  expect(sink.violations).toEqual([]);
});

test("an unknown authority gets 502 with what is known, and its body is not read", () => {
  const mesh = new TestMesh(new ScriptedService());
  const sink = new RecordingSink();
  const body = new TestBody();
  mesh.service.call(outboundExchange({ authority: "other.example", method: "POST", body }), sink);
  expect(sink.status).toBe(502);
  expect(sink.header("l5d-proxy-error")).toBe("no service other.example: known are test.example");
  expect(sink.text).toBe("no service other.example: known are test.example\n");
  expect(body.cancelled).toBe(true);
});

test("a failed connection is retried at once on another endpoint, whatever the method, body included", async () => {
  let failed: unknown = null;
  const transport = new ScriptedService((call) => {
    if (failed !== null) return { status: 200 };
    failed = (call.x as ReturnType<typeof outboundExchange>).endpoint;
    return { error: transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "unsent") };
  });
  const mesh = new TestMesh(transport, { endpoints: ["a:1", "b:1"] });
  const sink = new RecordingSink();
  const body = new TestBody();
  body.push("abc");
  body.end();
  const x = outboundExchange({ method: "POST", body });
  mesh.service.call(x, sink);
  expect(sink.status).toBe(200);
  expect(x.attempt).toBe(2);
  expect(x.endpoint).not.toBe(failed);
  expect((await transport.calls[1]!.body).toString()).toBe("abc");
});

test("the deadline covers attempts and the waits between them", () => {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport, { fallback: testRoute({ limit: 5, perTryTimeoutMs: 300 }, 800) });
  const sink = new RecordingSink();
  mesh.service.call(outboundExchange(), sink);
  mesh.clock.advance(790);
  expect(sink.status).toBe(0);
  expect(transport.calls.length).toBeGreaterThan(1);
  mesh.clock.advance(30);
  expect(sink.status).toBe(504);
  expect(sink.header("l5d-proxy-error")).toMatch(/did not answer within 800 ms/);
  expect(transport.calls.at(-1)!.aborted?.code).toBe("SELVAGE_ERR_DEADLINE");
  expect(sink.violations).toEqual([]);
});

test("more exchanges than may be in flight are refused at once, and count for their authority", () => {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport);
  const targets = { find: () => mesh.target, explainUnknown: () => "" };
  const service = outboundStack({ ...mesh, random: Math.random, targets, maxInFlight: 2, trace: null });
  const sinks = [1, 2, 3].map(() => {
    const sink = new RecordingSink();
    service.call(outboundExchange(), sink);
    return sink;
  });
  expect(sinks.map((sink) => sink.status)).toEqual([0, 0, 503]);
  expect(sinks[2]!.header("retry-after")).toBe("1");
  expect(transport.calls.length).toBe(2);
  const counted = renderPrometheus(mesh.metrics.registry);
  expect(counted).toMatch(/http_client_request_duration_seconds_count\{.*server_address="test.example".*503.*\} 1/);
  transport.calls[0]!.x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "enough", "caller"));
  const next = new RecordingSink();
  service.call(outboundExchange(), next);
  expect(next.status).toBe(0);
});
