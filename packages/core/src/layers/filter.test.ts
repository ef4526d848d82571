import type { HeaderList } from "@selvage/http2";
import { transportError } from "@selvage/http2";
import { type Answer, RecordingSink, ScriptedService, TestBody } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { loadConfig } from "../config/load.js";
import type { RouteOptions } from "../config/options.js";
import type { MeshExchange } from "../exchange.js";
import { routesOf } from "../router/routes-of.js";
import { outboundExchange, TestMesh, type TestRequest } from "../testing/test-mesh.js";

/** What one attempt was sent as, and where. */
interface Sent {
  readonly to: string;
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly headers: HeaderList;
}

function fixture(route: RouteOptions, answers: readonly (Answer | null)[] = [], random?: () => number) {
  const config = loadConfig({
    options: { outbound: { services: { "test.example": { routes: [route] }, "v1.shop": {}, "v2.shop": {} } } },
    env: {},
    cwd: "/",
  });
  const sent: Sent[] = [];
  const transport = new ScriptedService(({ x }) => {
    const { method, authority, path, headers } = x;
    sent.push({ to: (x as MeshExchange).target!.authority, method, authority, path, headers });
    const answer = answers[sent.length - 1];
    return answer === undefined ? {} : answer;
  });
  const routes = config.outbound.services["test.example"]!.routes.flatMap(routesOf);
  const others = ["v1.shop", "v2.shop"];
  const mesh = new TestMesh(transport, { routes, others, ...(random && { random }) });
  const send = (request: TestRequest = {}) => {
    const sink = new RecordingSink();
    mesh.service.call(outboundExchange(request), sink);
    return sink;
  };
  return { sent, mesh, transport, send };
}

test("request headers are set, added and removed; the list of the caller stays as it is", () => {
  const headers = ["a", "1", "b", "1", "c", "1", "a", "2", "l5d-client-id", "forged"];
  const { sent, send } = fixture({
    filters: { requestHeaders: { set: { a: "new" }, add: { b: "more" }, remove: ["c", "gone"] } },
  });
  send({ headers });
  expect(sent[0]!.headers).toEqual(["b", "1", "a", "new", "b", "more"]);
  expect(headers).toHaveLength(10);
});

test("what is retried is changed once, and so is the answer", () => {
  const { sent, send, mesh } = fixture(
    {
      filters: {
        requestHeaders: { add: { n: "1" } },
        responseHeaders: { add: { n: "1" }, remove: ["server"] },
        rewrite: { path: "/x" },
      },
    },
    [{ status: 503 }, { headers: ["server", "x", "etag", "y"] }],
  );
  const sink = send({ path: "/a" });
  mesh.clock.advance(300);
  expect([sink.status, sink.headers]).toEqual([200, ["etag", "y", "n", "1"]]);
  expect(sent.map(({ headers, path }) => [headers, path])).toEqual([
    [["n", "1"], "/x"],
    [["n", "1"], "/x"],
  ]);
});

test("what the mesh answers itself is not changed", () => {
  const error = transportError("SELVAGE_ERR_CONNECT", "refused", "peer", "processed");
  const { send } = fixture({ filters: { responseHeaders: { set: { n: "1" } } } }, [{ error }]);
  const sink = send({ method: "POST" });
  expect([sink.status, sink.header("n")]).toEqual([502, undefined]);
});

test.each([
  ["/a/*", { prefix: "/x" }, "/a/b?q=/a", "/x/b?q=/a"],
  ["/a/*", { prefix: "/x/" }, "/a/b", "/x/b"],
  ["/a/*", { prefix: "/x" }, "/a", "/x"],
  ["/a/*", { prefix: "/x" }, "/a/", "/x/"],
  ["/a/*", { prefix: "/" }, "/a/b", "/b"],
  ["/a/*", { prefix: "" }, "/a?q", "/?q"],
  ["/a/b/*", { prefix: "/x" }, "/%61/b/c%20d", "/x/c%20d"],
  ["/*", { prefix: "/x" }, "/a", "/x/a"],
  ["/*", { path: "/x" }, "/a/b?q", "/x?q"],
  ["/*", { path: "/x" }, "*", "*"],
])("of %s, %j makes of %s: %s", (path, rewrite, from, to) => {
  const { sent, send } = fixture({ match: { path }, filters: { rewrite } });
  send({ path: from });
  expect(sent[0]!.path).toBe(to);
});

test("a host that is rewritten is so in all places", () => {
  const { sent, send } = fixture({ filters: { rewrite: { hostname: "other.example:81" } } });
  send({ headers: ["host", "test.example", "a", "1"] });
  expect(sent[0]).toMatchObject({ authority: "other.example:81", headers: ["host", "other.example:81", "a", "1"] });
});

test.each([
  [{ scheme: "https" as const }, "http://test.example/a/b?q", 302, "https://test.example/a/b?q"],
  [{ scheme: "https" as const, port: 8443 }, "", 302, "https://test.example:8443/a/b?q"],
  [{ port: 80, status: 308 as const }, "", 0, ""],
  [{ port: 81 }, "", 302, "http://test.example:81/a/b?q"],
  [{ hostname: "b.example", status: 301 as const }, "", 301, "http://b.example/a/b?q"],
  [{ prefix: "/x" }, "", 302, "http://test.example/x/b?q"],
  [{ path: "/x", status: 307 as const }, "", 307, "http://test.example/x?q"],
  [{ prefix: "/a" }, "", 0, ""],
])("a redirect to %j", (redirect, _, status, location) => {
  const { sent, send } = fixture({ match: { path: "/a/*" }, filters: { redirect } });
  const body = new TestBody();
  const sink = send({ method: "POST", path: "/a/b?q", body });
  if (status === 0) {
    // It would lead where it came from.
    expect(sent).toHaveLength(1);
    return;
  }
  expect([sink.status, sink.header("location"), sent.length, body.cancelled]).toEqual([status, location, 0, true]);
  expect(sink.violations).toEqual([]);
});

test("backends get requests by their weights; they, not the authority, are what is measured", () => {
  let n = 0;
  const backends = [
    { service: "v1.shop", weight: 3 },
    { service: "test.example", weight: 0 },
    { service: "v2.shop", weight: 1 },
  ];
  const { sent, send, mesh } = fixture({ backends }, [], () => (n++ % 4) / 4);
  for (let i = 0; i < 8; i++) send();
  expect(sent.map(({ to }) => to)).toEqual([
    "v1.shop",
    "v1.shop",
    "v1.shop",
    "v2.shop",
    "v1.shop",
    "v1.shop",
    "v1.shop",
    "v2.shop",
  ]);
  expect(sent[0]!.authority).toBe("test.example");
  expect(mesh.created).toEqual(["v1.shop:1", "v2.shop:1"]);
});

test("a backend that there isn't is said", () => {
  const { send, mesh } = fixture({ backends: [{ service: "v1.shop" }] });
  (mesh.others as unknown[]).length = 0;
  expect(send().header("l5d-proxy-error")).toBe(
    "no service v1.shop, a backend of test.example: known are test.example",
  );
});

test("a caller may override what its route lets it, and the headers don't leave", () => {
  const headers = ["l5d-timeout", "50ms", "l5d-retry-limit", "2", "l5d-retry-http", "500,503-504", "a", "1"];
  const failing = [{ status: 500 }, { status: 500 }, null];
  const allowed = fixture({ overrides: true }, failing);
  const sink = allowed.send({ headers });
  allowed.mesh.clock.advance(45);
  allowed.mesh.clock.advance(20);
  expect([sink.status, allowed.sent[0]!.headers]).toEqual([504, ["a", "1"]]);
  const refused = fixture({}, failing);
  expect([refused.send({ headers }).status, refused.sent.length]).toEqual([500, 1]);
  expect(refused.sent[0]!.headers).toEqual(["a", "1"]);
});

test("overrides that can't be read are as if they weren't there", () => {
  const { sent, send } = fixture({ overrides: true }, [{ status: 500 }]);
  const headers = ["l5d-timeout", "soon", "l5d-retry-http", "all", "l5d-retry-limit", "-1", "l5d-retry-grpc", "x"];
  expect([send({ headers }).status, sent.length]).toEqual([500, 1]);
});
