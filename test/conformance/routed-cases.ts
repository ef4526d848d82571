import type { RouteOptions } from "@selvage/core";
import { expect } from "vitest";
import type { Case } from "./cases.js";

/** What every meshed client's configuration says of `app.test`. `canary.test` is the same server by another name. */
export const routedRoutes: RouteOptions[] = [
  {
    match: { path: "/routed/headers" },
    filters: {
      requestHeaders: { set: { "x-set": "by the route" }, add: { "x-added": "1" }, remove: ["x-removed"] },
      responseHeaders: { set: { "x-answer": "by the route" }, remove: ["content-type"] },
      rewrite: { path: "/seen" },
    },
  },
  {
    match: { path: "/routed/host" },
    filters: { rewrite: { hostname: "other.test", path: "/seen" } },
  },
  { match: { path: "/routed/below/*" }, filters: { rewrite: { prefix: "/" } } },
  { match: { path: "/routed/old/*" }, filters: { redirect: { hostname: "new.test", prefix: "/new", status: 308 } } },
  {
    match: [
      { path: "/routed/split", method: "POST" },
      { path: "/routed/split", query: { by: "query" } },
    ],
    filters: { rewrite: { path: "/echo" } },
    backends: [
      { service: "canary.test", weight: 1 },
      { service: "gone.test", weight: 0 },
    ],
  },
  {
    match: { path: "/routed/copied" },
    filters: { mirror: { service: "canary.test" }, rewrite: { path: "/echo" } },
  },
  { match: { path: "/routed/uncopied" }, filters: { mirror: { service: "gone.test" }, rewrite: { path: "/echo" } } },
  { match: { path: "/routed/hang" }, filters: { rewrite: { path: "/hang" } }, overrides: true },
];

const pairsOf = (text: string): [string, string][] =>
  (JSON.parse(text) as { headers: [string, string][] }).headers.map(([name, value]) => [name.toLowerCase(), value]);

export const routedCases: readonly Case[] = [
  {
    name: "a route changes headers, both ways",
    where: "outbound",
    async run({ client }) {
      const headers = { "x-set": "by the caller", "x-added": "0", "x-removed": "x", "x-kept": "y" };
      const outcome = await client.send({ path: "/routed/headers", headers });
      expect(outcome.status).toBe(200);
      expect(outcome.headers).toMatchObject({ "x-answer": "by the route" });
      expect(outcome.headers).not.toHaveProperty("content-type");
      const seen = pairsOf(outcome.text).filter(([name]) => name.startsWith("x-"));
      const added = seen.filter(([name]) => name === "x-added").map(([, value]) => value);
      expect(added.join(", ")).toBe("0, 1");
      expect(Object.fromEntries(seen.filter(([name]) => name !== "x-added"))).toEqual({
        "x-set": "by the route",
        "x-kept": "y",
      });
    },
  },
  {
    name: "a route rewrites the host",
    where: "outbound",
    async run({ client }) {
      const { text } = await client.send({ path: "/routed/host" });
      const host = pairsOf(text).filter(([name]) => /^(host|:authority)$/.test(name));
      expect([...new Set(host.map(([, value]) => value))]).toEqual(["other.test"]);
    },
  },
  {
    name: "a route rewrites a prefix, and the query stays",
    where: "outbound",
    async run({ client }) {
      const { text } = await client.send({ method: "PUT", path: "/routed/below/echo?a=%20", body: Buffer.from("x") });
      expect(JSON.parse(text)).toMatchObject({ method: "PUT", url: "/echo?a=%20", length: 1 });
    },
  },
  {
    name: "a route redirects, and the app never sees it",
    where: "outbound",
    async run({ client, log }, key) {
      const outcome = await client.send({ method: "POST", path: `/routed/old/a?key=${key}`, body: Buffer.from("x") });
      expect(outcome).toMatchObject({ status: 308, length: 0, broken: false });
      expect(outcome.headers["location"]).toBe(`http://new.test/new/a?key=${key}`);
      expect(log.hits.has(key)).toBe(false);
    },
  },
  {
    name: "a route sends requests to its backends by weight; a weight of 0 is none",
    where: "outbound",
    async run({ client }) {
      for (let i = 0; i < 10; i++) {
        const body = Buffer.from(`${i}`);
        expect((await client.send({ method: "POST", path: "/routed/split", body })).status).toBe(200);
      }
      expect((await client.send({ path: "/routed/split?by=query" })).status).toBe(200);
      expect((await client.send({ path: "/routed/split" })).status).toBe(404);
    },
  },
  {
    name: "a route sends a copy, with its body; the answer is the original's",
    where: "outbound",
    async run({ client, log }, key) {
      const path = `/routed/copied?key=${key}`;
      const { text } = await client.send({ method: "POST", path, body: Buffer.from("twice") });
      expect(JSON.parse(text)).toMatchObject({ length: 5 });
      await expect.poll(() => log.hits.get(key)).toBe(2);
      await client.send({ path });
      await expect.poll(() => log.hits.get(key)).toBe(4);
    },
  },
  {
    name: "a copy that can't be sent is nobody's concern",
    where: "outbound",
    async run({ client }) {
      const outcome = await client.send({ method: "POST", path: "/routed/uncopied", body: Buffer.from("once") });
      expect([outcome.status, outcome.broken]).toEqual([200, false]);
    },
  },
  {
    name: "a caller may shorten the timeout where the route lets it",
    where: "outbound",
    async run({ client, log }, key) {
      const aborted = log.abortOf(key);
      const outcome = await client.send({ path: `/routed/hang?key=${key}`, headers: { "l5d-timeout": "200ms" } });
      expect(outcome.status).toBe(504);
      expect(outcome.headers["l5d-proxy-error"]).toMatch(/200 ms/);
      await aborted;
    },
  },
];
