import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RouteOptions } from "./options.js";
import { redactConfig } from "./redact.js";
import { TestDirectory } from "./test-directory.js";

let directory: TestDirectory;

beforeEach(() => {
  directory = new TestDirectory();
});

afterEach(() => {
  directory.remove();
});

const services = (routes: unknown) => ({ outbound: { services: { "a.shop": { routes }, "b.shop": {} } } });
const path = 'options: outbound.services["a.shop"].routes';

test.each<[string, RouteOptions, string]>([
  ["an expression", { match: { path: { regex: "(a" } } }, "[0].match.path.regex must be a regular expression (error"],
  ["an expression with a back reference", { match: { path: { regex: "(a)\\1" } } }, "[0].match.path.regex must be"],
  ["a large expression", { match: { path: { regex: "((a{100}){100})" } } }, "[0].match.path.regex "],
  ["two kinds of value", { match: { headers: { x: {} as never } } }, "[0].match.headers.x must say one of regex and"],
  ["gRPC and a path", { match: { path: "/a", grpc: {} } }, "[0].match.path must not stand beside grpc"],
  ["a gRPC service", { match: { grpc: { service: "a/b" } } }, "[0].match.grpc.service must be the full name"],
  ["the same match twice", { match: [{ path: "/a" }, { path: "/a" }] }, "[0].match says the same twice"],
  [
    "a mesh header",
    { filters: { requestHeaders: { set: { "l5d-client-id": "x" } } } },
    "is a header that only the mesh",
  ],
  ["a disguised one", { filters: { responseHeaders: { add: { l5d_proxy_error: "x" } } } }, "is a header that only the"],
  [
    "a claim",
    { filters: { requestHeaders: { remove: ["X-Forwarded-Client-Cert"] } } },
    "is a header that only the mesh",
  ],
  ["the host", { filters: { requestHeaders: { set: { Host: "x" } } } }, "must not be changed as a header"],
  ["framing", { filters: { requestHeaders: { remove: ["content-length"] } } }, "belongs to the connection, not"],
  ["a pseudo-header", { filters: { requestHeaders: { set: { ":path": "/" } } } }, "must not be a pseudo-header"],
  ["a line break", { filters: { requestHeaders: { set: { x: "a\r\nl5d-client-id: b" } } } }, "must be the value of a"],
  ["a header name", { filters: { responseHeaders: { set: { "a b": "x" } } } }, "must be the name of a header"],
  ["one header twice", { filters: { requestHeaders: { set: { x: "1" }, remove: ["x"] } } }, "is changed twice"],
  ["a redirect to nowhere", { filters: { redirect: {} } }, "[0].filters.redirect leads where it came from"],
  ["a path with a line break", { filters: { redirect: { path: "/a\r\n" } } }, "must be a path in its normal form"],
  ["a status", { filters: { redirect: { port: 1, status: 200 as never } } }, "[0].filters.redirect.status must be"],
  ["both paths", { filters: { rewrite: { path: "/a", prefix: "/b" } } }, "must not have both path and prefix"],
  [
    "a prefix for an exact path",
    { match: { path: "/a" }, filters: { rewrite: { prefix: "/b" } } },
    "needs a prefix to",
  ],
  [
    "a redirect and a rewrite",
    { filters: { redirect: { port: 1 }, rewrite: { path: "/b" } } },
    "filters.rewrite must not",
  ],
  [
    "a redirect and backends",
    { filters: { redirect: { port: 1 } }, backends: [{ service: "b.shop" }] },
    "[0].backends must",
  ],
  ["no weight", { backends: [{ service: "b.shop", weight: 0 }] }, "[0].backends must not all have the weight 0"],
  ["a backend twice", { backends: [{ service: "b.shop" }, { service: "b.shop" }] }, "[1].service is there twice"],
  ["an address", { backends: [{ service: "10.0.0.1:80" }] }, "[0].backends[0].service is no service that is known"],
  ["a ratio", { filters: { mirror: { service: "b.shop", ratio: 2 } } }, "[0].filters.mirror.ratio must be at most 1"],
])("%s is refused", (_, route, problem) => {
  const errors = directory.errorsOf(services([route]));
  expect(errors).toHaveLength(1);
  expect(errors[0]).toContain(problem);
  expect(errors[0]!.startsWith(path)).toBe(true);
});

test("two routes that match the same are refused, whatever the order of what they ask for", () => {
  const query = { a: "1", b: { present: true } } as const;
  const routes = [
    { match: { path: "/a", query } },
    { name: "other", match: [{ path: "/b" }, { path: "/a", query: { b: query.b, a: "1" } }] },
  ];
  expect(directory.errorsOf(services(routes))).toEqual([
    `${path}[1].match matches what routes[0] matches; leave one of them out`,
  ]);
});

test("without a registry, what is not configured can't be a backend or get copies", () => {
  directory.write("x", "x");
  const identity = { source: "files", cert: "x", key: "x", bundle: "x" };
  const routes = [
    { filters: { mirror: { service: "c.shop" } }, backends: [{ service: "b.shop" }, { service: "bb.shop" }] },
  ];
  expect(directory.errorsOf({ identity, ...services(routes) })).toEqual([
    `${path}[0].backends[1].service is no service that is known, got "bb.shop"; did you mean "b.shop"?`,
    expect.stringContaining(`${path}[0].filters.mirror.service is no service that is known, got "c.shop"`),
  ]);
});

describe("a file of routes", () => {
  test("is read from where it is named, over the settings beside it", () => {
    directory.write("routes.yaml", "- { name: a, match: { path: /a }, retry: { limit: 3 } }\n");
    const options = {
      outbound: { defaults: { timeout: "2s", retry: { statuses: [500] }, routes: { file: "routes.yaml" } } },
    };
    const { defaults } = directory.load(options).outbound;
    expect(defaults.routesFile).toBe(`${directory.path}/routes.yaml`);
    expect(defaults.routes).toMatchObject([{ name: "a", timeoutMs: 2000, retry: { limit: 3, statuses: [500] } }]);
  });

  test("that can't be used is refused once, with its own lines", () => {
    directory.write("routes.yaml", "- backends:\n    - { service: b.shop, weight: 0 }\n- match: { path: a }\n");
    const routes = { file: "routes.yaml" };
    const both = { outbound: { defaults: { routes }, services: { "a.shop": {}, "b.shop": {} } } };
    expect(directory.errorsOf(both)).toEqual([
      'routes.yaml:3:12: [1].match.path must start with "/", got "a"; write "/a"',
    ]);
    directory.write("routes.yaml", "- backends:\n    - { service: b.shop, weight: 0 }\n");
    expect(directory.errorsOf(both)).toEqual([
      "routes.yaml:1:3: [0].backends must not all have the weight 0; nothing could be sent anywhere",
    ]);
    directory.write("routes.yaml", "routes: []\n");
    expect(directory.errorsOf(both)).toEqual(['routes.yaml: the document must be a list, got {"routes":[]}']);
  });

  test("that is missing is refused", () => {
    expect(directory.errorsOf(services({ file: "none.yaml" }))[0]).toContain("none.yaml: the document cannot be read");
  });
});

test("values that routes match or set are not shown", () => {
  const route = {
    match: { headers: { x: "secret" }, query: { q: { regex: "secret" } } },
    filters: { requestHeaders: { set: { authorization: "secret" } }, responseHeaders: { add: { y: "secret" } } },
  };
  const shown = JSON.stringify(redactConfig(directory.load(services([route]) as never)));
  expect(shown).not.toContain("secret");
  expect(shown).toContain("authorization");
});
