import type { HeaderList } from "@selvage/http2";
import { type Answer, RecordingSink, type ScriptedCall, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import type { MeshExchange } from "../exchange.js";
import { RouteFilters } from "../router/route-filters.js";
import { outboundExchange, TestMesh, type TestRequest, testRoute } from "../testing/test-mesh.js";

const none = { requestHeaders: null, responseHeaders: null, redirect: null, rewrite: null };

function fixture(answerOf: (to: string) => Answer | null = () => ({}), ratio = 1, random?: () => number) {
  const calls: { to: string; headers: HeaderList; call: ScriptedCall }[] = [];
  const transport = new ScriptedService((call) => {
    const to = (call.x as MeshExchange).target!.authority;
    calls.push({ to, headers: call.x.headers, call });
    return answerOf(to);
  });
  const filters = new RouteFilters({ ...none, mirror: { service: "v2.shop", ratio } }, { kind: "prefix", value: "" });
  const routes = [{ ...testRoute(), filters }];
  const mesh = new TestMesh(transport, { routes, others: ["v2.shop"], ...(random && { random }) });
  const send = (request: TestRequest = {}) => {
    const sink = new RecordingSink();
    mesh.service.call(outboundExchange(request), sink);
    return sink;
  };
  return { mesh, calls, send };
}

test("a copy goes to the other authority, marked; its answer is dropped", () => {
  const { calls, send } = fixture((to) => (to === "v2.shop" ? { status: 500, body: "broken" } : { body: "fine" }));
  const sink = send({ headers: ["a", "1", "expect", "100-continue", "x-selvage-mirror", "0"], path: "/x?y" });
  expect([sink.status, sink.text, sink.violations]).toEqual([200, "fine", []]);
  expect(calls.map(({ to, headers }) => [to, headers])).toEqual([
    ["test.example", ["a", "1", "expect", "100-continue", "x-selvage-mirror", "0"]],
    ["v2.shop", ["a", "1", "x-selvage-mirror", "1"]],
  ]);
  expect(calls[1]!.call.x).toMatchObject({ method: "GET", path: "/x?y", authority: "test.example" });
});

test("a body is passed on as it comes, and copied when all of it came", async () => {
  const { calls, send } = fixture(() => null);
  const body = new TestBody();
  send({ method: "POST", body });
  body.push("he");
  expect(calls[0]!.call.chunks).toHaveLength(1);
  body.push("llo");
  expect(calls).toHaveLength(1);
  body.end(["t", "1"]);
  expect(calls.map(({ to }) => to)).toEqual(["test.example", "v2.shop"]);
  expect((await calls[1]!.call.body).toString()).toBe("hello");
  expect(calls[1]!.call.trailers).toEqual(["t", "1"]);
});

test("what is longer than 64 KiB is not copied, declared or not, nor what nobody reads to its end", () => {
  const { calls, send } = fixture((to) => (to === "v2.shop" ? {} : null));
  const long = new TestBody();
  send({ method: "POST", body: long });
  long.push(Buffer.alloc(65_537));
  long.end();
  const cut = new TestBody();
  send({ method: "POST", body: cut });
  cut.push("x");
  calls[1]!.call.x.body?.cancel();
  expect(calls.map(({ to }) => to)).toEqual(["test.example", "test.example"]);
});

test("a copy is sent once, ends after a time, and fails for itself", () => {
  const { calls, send, mesh } = fixture((to) => (to === "v2.shop" ? null : { body: "fine" }));
  expect(send().text).toBe("fine");
  mesh.clock.advance(10_100);
  expect([calls.length, calls[1]!.call.aborted?.code]).toEqual([2, "SELVAGE_ERR_DEADLINE"]);
});

test("no more than a thousand copies are under way; the originals go on", () => {
  const { calls, send } = fixture((to) => (to === "v2.shop" ? null : {}));
  for (let i = 0; i < 1_005; i++) expect(send().status).toBe(200);
  const copies = () => calls.filter(({ to }) => to === "v2.shop");
  expect(copies()).toHaveLength(1_000);
  copies()[0]!.call.answer({});
  send();
  send();
  expect(copies()).toHaveLength(1_001);
});

test("a share of the requests is copied", () => {
  let n = 0;
  const { calls, send } = fixture(
    () => ({}),
    0.25,
    () => (n++ % 4) / 4,
  );
  for (let i = 0; i < 8; i++) send();
  expect(calls.filter(({ to }) => to === "v2.shop")).toHaveLength(2);
});
