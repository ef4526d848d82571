import type { RequestListener } from "node:http";
import { afterEach, expect, test } from "vitest";
import { httpsGet } from "./https-get.js";
import { startWebServer, type WebServer } from "./testing/web-server.js";

const servers: WebServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function get(listener: RequestListener, options: { timeoutMs?: number; maxBytes?: number } = {}) {
  const server = await startWebServer(listener);
  servers.push(server);
  const tls = { ca: server.ca };
  return httpsGet(new URL("/a?b", server.url), { tls, timeoutMs: 5000, maxBytes: 100, ...options });
}

test("gets a document that is as long as it may be, and no longer one", async () => {
  const seen: unknown[] = [];
  const answer: (length: number) => RequestListener = (length) => (request, response) => {
    seen.push([request.method, request.url]);
    response.end("x".repeat(length));
  };
  expect(await get(answer(100))).toBe("x".repeat(100));
  await expect(get(answer(101))).rejects.toThrow("more than 100 bytes");
  expect(seen[0]).toEqual(["GET", "/a?b"]);
});

test("follows no redirect, and takes no other status than 200", async () => {
  await expect(get((_request, response) => response.writeHead(301, { location: "/b" }).end())).rejects.toThrow(
    "status 301; redirects are not followed",
  );
  for (const status of [204, 206, 404, 500])
    await expect(get((_request, response) => response.writeHead(status).end("x"))).rejects.toThrow(`status ${status}`);
});

test.each<[string, RequestListener]>([
  ["that says nothing", () => {}],
  ["that stops in the middle", (_request, response) => void response.writeHead(200).write("x")],
])("waits no longer than it is told to for a server %s", async (_name, listener) => {
  await expect(get(listener, { timeoutMs: 100 })).rejects.toThrow("no answer within 100 ms");
});
