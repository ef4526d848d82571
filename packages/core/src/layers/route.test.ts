import { RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { anyMatch } from "../router/route-match.js";
import { outboundExchange, TestMesh, testRoute } from "../testing/test-mesh.js";

test("mesh headers that the application set do not leave", () => {
  const transport = new ScriptedService({});
  const mesh = new TestMesh(transport);
  const headers = [
    "accept",
    "*/*",
    "l5d-client-id",
    "forged",
    "l5d_proxy_error",
    "x",
    "l5d-dst-override",
    "y",
    "a",
    "b",
  ];
  mesh.service.call(outboundExchange({ headers }), new RecordingSink());
  expect(transport.calls[0]!.x.headers).toEqual(["accept", "*/*", "a", "b"]);
});

test("headers without a mesh header are passed on as the same list", () => {
  const transport = new ScriptedService({});
  const headers = ["accept", "*/*", "l5dx", "y"];
  new TestMesh(transport).service.call(outboundExchange({ headers }), new RecordingSink());
  expect(transport.calls[0]!.x.headers).toBe(headers);
});

test("the most specific route's rules apply", () => {
  const route = { ...testRoute({}, 50), match: { ...anyMatch, path: { kind: "prefix" as const, value: "/slow" } } };
  const mesh = new TestMesh(new ScriptedService(null), { routes: [route] });
  const [fast, slow] = [new RecordingSink(), new RecordingSink()];
  mesh.service.call(outboundExchange({ path: "/slow/x" }), slow);
  mesh.service.call(outboundExchange({ path: "/slower" }), fast);
  mesh.clock.advance(80);
  expect([slow.status, fast.status]).toEqual([504, 0]);
});

test("without a matching route and fallback there is 404, and the body is not read", () => {
  const body = new TestBody();
  const sink = new RecordingSink();
  new TestMesh(new ScriptedService({}), { fallback: null }).service.call(
    outboundExchange({ method: "PUT", body }),
    sink,
  );
  expect([sink.status, body.cancelled]).toEqual([404, true]);
});

test("discovery starts with the first request", () => {
  const mesh = new TestMesh(new ScriptedService({}), { endpoints: ["a:1", "b:1"] });
  expect(mesh.created).toEqual([]);
  for (let i = 0; i < 2; i++) mesh.service.call(outboundExchange(), new RecordingSink());
  expect(mesh.created).toEqual(["a:1", "b:1"]);
});
