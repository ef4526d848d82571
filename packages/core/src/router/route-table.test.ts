import { expect, test } from "vitest";
import { loadConfig } from "../config/load.js";
import type { RouteOptions } from "../config/options.js";
import type { Route } from "./route.js";
import { RouteTable } from "./route-table.js";
import { routesOf } from "./routes-of.js";

/** Routes as they are written, named by their place. */
function routesFrom(...written: (string | NonNullable<RouteOptions["match"]>)[]): Route[] {
  const routes = written.map((match, i) => ({
    name: String(i),
    match: typeof match === "string" ? { path: match } : match,
  }));
  const config = loadConfig({ options: { outbound: { services: { a: { routes } } } }, env: {}, cwd: "/" });
  return config.outbound.services["a"]!.routes.flatMap(routesOf);
}

const find = (table: RouteTable, method: string, path: string, headers: string[] = []): number =>
  Number(table.find(method, path, headers)?.name ?? -1);

function tableOf(...written: Parameters<typeof routesFrom>): RouteTable {
  return new RouteTable(routesFrom(...written), null);
}

test.each([
  ["/items/*", "/items", true],
  ["/items/*", "/items/", true],
  ["/items/*", "/items/7/x?q=1", true],
  ["/items/*", "/itemsx", false],
  ["/items/*", "/item", false],
  ["/items", "/items?q", true],
  ["/items", "/items/", false],
  ["/*", "/anything", true],
  ["/*", "*", true],
  ["/items/*", "/%69tems/7", true],
  ["/items/*", "//items", false],
  ["/*", "/a/../b", true],
])("%s matches %s: %s", (pattern, path, expected) => {
  expect(find(tableOf(pattern), "GET", path) === 0).toBe(expected);
});

test("an exact path wins, then the longest prefix, then a regular expression, then any path", () => {
  const table = tableOf("/*", "/a/*", { path: { regex: "/a/b(/.*)?" } }, "/a/b/*", "/a/b", { path: { regex: "/z." } });
  const paths = ["/a/b", "/a/b/", "/a/b/c/d", "/a/bc", "/a", "/ab", "/zz", "/zzz"];
  expect(paths.map((path) => find(table, "GET", path))).toEqual([4, 3, 3, 1, 1, 0, 5, 0]);
});

test("of one path a method wins, then more headers, then more query parameters, then the order", () => {
  const table = tableOf(
    { path: "/a" },
    { path: "/a", query: { q: "1" } },
    { path: "/a", headers: { x: "1" } },
    { path: "/a", headers: { x: "1", y: "1" } },
    { path: "/a", headers: { x: "1" }, query: { q: "1" } },
    { path: "/a", method: "GET" },
    { path: "/a", headers: { z: { present: true } } },
  );
  expect(find(table, "PUT", "/a")).toBe(0);
  expect(find(table, "PUT", "/a?q=1")).toBe(1);
  expect(find(table, "PUT", "/a", ["x", "1"])).toBe(2);
  expect(find(table, "PUT", "/a", ["z", "", "x", "1"])).toBe(2);
  expect(find(table, "PUT", "/a?q=1", ["x", "1"])).toBe(4);
  expect(find(table, "PUT", "/a?q=1", ["x", "1", "y", "1"])).toBe(3);
  expect(find(table, "GET", "/a?q=1", ["x", "1", "y", "1"])).toBe(5);
});

test("a prefix whose other conditions don't hold leaves the request to a shorter one", () => {
  const table = tableOf("/a/*", { path: "/a/b/*", method: "PUT" }, { path: "/a/b/c", headers: { x: "1" } }, "/abc/*");
  expect(find(table, "GET", "/a/b/c")).toBe(0);
  expect(find(table, "PUT", "/a/b/c")).toBe(1);
  expect(find(table, "GET", "/a/b/c", ["x", "1"])).toBe(2);
  expect(find(table, "GET", "/abc/d")).toBe(3);
  expect(find(table, "GET", "/ab")).toBe(-1);
});

test.each([
  ["", false],
  ["?debug", false],
  ["?debug=1", true],
  ["?a=b&debug=1&c", true],
  ["?debug=2&debug=1", false],
  ["?%64ebug=%31", true],
  ["?debug=1+", false],
  ["?xdebug=1", false],
  ["?debug=%zz", false],
])("of a repeated query parameter the first counts, decoded: %s", (query, expected) => {
  expect(find(tableOf({ query: { debug: "1" } }), "GET", `/a${query}`) === 0).toBe(expected);
});

test("values are text, a regular expression of all of the value, or any", () => {
  const table = tableOf(
    { headers: { x: { regex: "a+" } } },
    { headers: { y: { present: true } } },
    { query: { q: { regex: "ä b" } } },
    { query: { r: { present: true } } },
  );
  expect(find(table, "GET", "/", ["x", "aaa"])).toBe(0);
  expect(find(table, "GET", "/", ["x", "aab"])).toBe(-1);
  expect(find(table, "GET", "/", ["y", ""])).toBe(1);
  expect(find(table, "GET", "/?q=%C3%A4+b")).toBe(2);
  expect(find(table, "GET", "/?r")).toBe(3);
});

test("gRPC calls match by service and method, and nothing else does", () => {
  const table = tableOf(
    { grpc: { service: "shop.Cart" } },
    { grpc: { service: "shop.Cart", method: "Add" } },
    {
      grpc: { method: "List" },
    },
  );
  const grpc = ["content-type", "application/grpc+proto"];
  expect(find(table, "POST", "/shop.Cart/Add", grpc)).toBe(1);
  expect(find(table, "POST", "/shop.Cart/Remove", grpc)).toBe(0);
  expect(find(table, "POST", "/shop.Other/List", grpc)).toBe(2);
  expect(find(table, "POST", "/shop.Cart/Add", ["content-type", "application/json"])).toBe(-1);
  expect(find(table, "GET", "/shop.Cart/Add", grpc)).toBe(-1);
});

test("one of several matches is enough", () => {
  const table = tableOf([{ path: "/a", method: "GET" }, { path: "/b/*" }]);
  expect([find(table, "GET", "/a"), find(table, "PUT", "/a"), find(table, "PUT", "/b/c")]).toEqual([0, -1, 0]);
});

test("methods and header values match exactly", () => {
  expect(find(tableOf({ method: "GET" }), "get", "/")).toBe(-1);
  expect(find(tableOf({ headers: { x: "a" } }), "GET", "/", ["x", "A"])).toBe(-1);
  expect(find(tableOf({ headers: { x: "a" } }), "GET", "/", ["x", "b", "x", "a"])).toBe(0);
});

test("what no route matches gets the fallback", () => {
  const [fallback] = routesFrom("/*");
  expect(new RouteTable(routesFrom("/a"), fallback!).find("GET", "/b", [])).toBe(fallback);
  expect(new RouteTable([], fallback!).find("GET", "/b", [])).toBe(fallback);
  expect(new RouteTable(routesFrom("/a"), null).find("GET", "/b", [])).toBeNull();
});

test("a thousand routes give what the rules give, whichever way they are asked", () => {
  const segments = ["a", "ab", "b", "items", "item"];
  const paths = new Set<string>();
  for (const one of segments)
    for (const two of segments)
      for (const three of segments) for (const end of ["", "/*"]) paths.add(`/${one}/${two}/${three}${end}`);
  for (const one of segments) for (const two of segments) paths.add(`/${one}/${two}/*`);
  const written = [...paths];
  const table = tableOf(...written);
  for (const path of ["/a/b/item", "/a/b/item/7", "/ab/ab/x", "/items/item/items/a/b", "/a", "/ab/item/itemsx"]) {
    // The longest pattern that matches, an exact one before the prefix that is as long.
    const expected = written
      .filter((one) => (one.endsWith("/*") ? `${path}/`.startsWith(one.slice(0, -1)) : one === path))
      .sort((a, b) => b.replace("/*", "").length - a.replace("/*", "").length || a.length - b.length)[0];
    const found = find(table, "GET", path);
    expect([path, written[found]]).toEqual([path, expected]);
  }
});
