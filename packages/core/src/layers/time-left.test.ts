import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { describe, expect, test } from "vitest";
import { MeshExchange } from "../exchange.js";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";
import { heedTimeLeft } from "./time-left.js";

const meshed = [
  { host: "a", port: 1, identity: "spiffe://t/a" },
  { host: "b", port: 1, identity: "spiffe://t/a" },
];

function called(request: TestRequest, timeoutMs: number, endpoints: typeof meshed | string[] = meshed) {
  const transport = new ScriptedService(null);
  const mesh = new TestMesh(transport, { endpoints, fallback: testRoute({}, timeoutMs), random: () => 0 });
  mesh.service.call(outboundExchange(request), new RecordingSink());
  return { mesh, calls: transport.calls };
}

describe("meshed endpoints are told", () => {
  test("how much time is left, each attempt anew", () => {
    const { mesh, calls } = called({ headers: ["a", "b"] }, 500);
    expect(calls[0]!.x.headers).toEqual(["a", "b", "l5d-time-left", "500"]);
    mesh.clock.advance(120);
    calls[0]!.answer({ status: 503 });
    mesh.clock.advance(40);
    const [, , name, left, ...rest] = calls[1]!.x.headers;
    expect([name, rest]).toEqual(["l5d-time-left", []]);
    expect(Number(left)).toBeGreaterThanOrEqual(340);
    expect(Number(left)).toBeLessThanOrEqual(355);
  });

  test.each<[string, TestRequest, number, typeof meshed | string[]]>([
    ["without a deadline", {}, 0, meshed],
    ["for tunnels", { tunnel: true }, 500, meshed],
    ["outside the mesh", {}, 500, ["a:1"]],
  ])("nothing %s", (_, request, timeoutMs, endpoints) => {
    expect(called(request, timeoutMs, endpoints).calls[0]!.x.headers).toEqual([]);
  });

  test("of gRPC in its own way", () => {
    const headers = ["content-type", "application/grpc"];
    const told = called({ method: "POST", headers }, 500).calls[0]!.x.headers;
    expect(told).toEqual([...headers, "grpc-timeout", "500000u"]);
  });

  test("nothing that the application says of it", () => {
    expect(called({ headers: ["l5d-time-left", "1"] }, 0).calls[0]!.x.headers).toEqual([]);
  });
});

test.each([
  ["200", 1_200],
  ["0", 1_000],
  ["9000", 5_000],
  ["-1", 5_000],
  ["1e3", 5_000],
  ["", 5_000],
  ["99999999999", 5_000],
])("a peer's %j shortens a deadline, or does nothing", (value, expected) => {
  const x = new MeshExchange("inbound");
  x.startedAt = 1_000;
  x.deadlineAt = 5_000;
  heedTimeLeft(x, value);
  expect(x.deadlineAt).toBe(expected);
});
