import { expect, test } from "vitest";
import type { RouteMatchConfig } from "../config/config.js";
import { compileRetryPolicy } from "../resilience/retry-policy.js";
import type { Route } from "./route.js";
import { anyMatch } from "./route-match.js";
import { RouteTable } from "./route-table.js";

const retry = compileRetryPolicy();

function route(path: string, more: Partial<Omit<RouteMatchConfig, "path">> = {}): Route {
  const kind = path.endsWith("/*") ? "prefix" : "exact";
  const value = kind === "prefix" ? path.slice(0, -2) : path;
  const match: RouteMatchConfig = { ...anyMatch, path: { kind, value }, ...more };
  return { name: `${more.method ?? "any"} ${path}${more.headers ? " h" : ""}`, match, timeoutMs: 0, retry };
}

function find(routes: Route[], method: string, path: string, headers: string[] = []): string | null {
  return new RouteTable(routes, null).find(method, path, headers)?.name ?? null;
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
  expect(find([route(pattern)], "GET", path) !== null).toBe(expected);
});

test("the longer path wins, an exact one before a prefix, then headers, then a method, then the order", () => {
  const routes = [
    route("/*"),
    route("/a/*"),
    route("/a/b/*"),
    route("/a/b"),
    route("/a/b/*", { method: "GET" }),
    route("/a/b/*", { headers: [{ name: "x", value: "1" }] }),
  ];
  expect(find(routes, "GET", "/z")).toBe("any /*");
  expect(find(routes, "GET", "/a/c")).toBe("any /a/*");
  expect(find(routes, "GET", "/a/b")).toBe("any /a/b");
  expect(find(routes, "GET", "/a/b/c")).toBe("GET /a/b/*");
  expect(find(routes, "PUT", "/a/b/c")).toBe("any /a/b/*");
  expect(find(routes, "GET", "/a/b/c", ["y", "1", "x", "0", "x", "1"])).toBe("any /a/b/* h");
  expect(find([{ ...route("/a"), name: "first" }, route("/a")], "GET", "/a")).toBe("first");
});

test("methods and header values match exactly", () => {
  expect(find([route("/*", { method: "GET" })], "get", "/")).toBeNull();
  expect(find([route("/*", { headers: [{ name: "x", value: "a" }] })], "GET", "/", ["x", "A"])).toBeNull();
});

test("what no route matches gets the fallback", () => {
  const fallback = { ...route("/*"), name: "fallback" };
  expect(new RouteTable([route("/a")], fallback).find("GET", "/b", [])).toBe(fallback);
  expect(new RouteTable([route("/a")], null).find("GET", "/b", [])).toBeNull();
});
