import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { outboundExchange, TestMesh, type TestMeshOptions, testRoute } from "../testing/test-mesh.js";

const id = "spiffe://t/inventory";

function call(options: TestMeshOptions, headers: string[] = []) {
  const transport = new ScriptedService({ body: "ok" });
  const mesh = new TestMesh(transport, { fallback: testRoute({ limit: 1 }), ...options });
  const sink = new RecordingSink();
  mesh.service.call(outboundExchange({ headers }), sink);
  return { sink, transport, mesh };
}

const meshed = { endpoints: [{ host: "a", port: 1, identity: id }] };

test("an endpoint whose connections prove the expected identity is used", () => {
  expect(call(meshed).sink.status).toBe(200);
});

test.each([null, "spiffe://t/other"])("an endpoint whose connections prove %s instead gets nothing", (enforced) => {
  const { sink, transport, mesh } = call({ ...meshed, enforcedIdentity: () => enforced });
  expect([sink.status, transport.calls.length]).toEqual([502, 0]);
  expect(sink.header("l5d-proxy-error")).toContain(`a:1 must prove to be ${id}`);
  expect(mesh.target.describe().endpoints[0]!.failures).toBeGreaterThan(0);
});

test("an application that asks for an identity gets it or nothing", () => {
  expect(call(meshed, ["l5d-require-id", id]).sink.status).toBe(200);
  for (const [options, headers] of [
    [meshed, ["l5d-require-id", "spiffe://t/other"]],
    [meshed, ["l5d-require-id", id, "l5d-require-id", "spiffe://t/other"]],
    [{}, ["l5d-require-id", id]],
  ] as [TestMeshOptions, string[]][]) {
    const { sink, transport, mesh } = call(options, headers);
    expect([sink.status, transport.calls.length]).toEqual([502, 0]);
    // It is the application's demand: the endpoint did nothing wrong.
    expect(mesh.target.describe().endpoints[0]!.failures).toBe(0);
  }
});
