import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest } from "node:http2";
import { createServer as createTlsServer, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { EgressOptions } from "../config/options.js";
import { createMesh, type Mesh } from "../mesh/mesh.js";
import { hasOpenssl, WebAuthority } from "./fixtures/web-authority.js";

interface Seen {
  readonly version: string;
  readonly headers: IncomingHttpHeaders;
  readonly clientCertificate: boolean;
  readonly servername: unknown;
}

let authority: WebAuthority;
let cleanups: (() => unknown)[];
let seen: Seen[];

beforeAll(() => {
  if (hasOpenssl) authority = new WebAuthority("somebody else");
});

afterAll(() => authority?.dispose());

beforeEach(() => {
  cleanups = [];
  seen = [];
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Somebody's server on the web: HTTP/2 and HTTP/1.1, and it would take a client certificate if it got one. */
async function web(names = ["DNS:localhost"], { http2 = true, ca = authority } = {}): Promise<number> {
  const tls = { ...ca.issue(names), requestCert: true, rejectUnauthorized: false };
  const listener = (req: { httpVersion: string; headers: IncomingHttpHeaders; socket: unknown }, res: Answer) => {
    const socket = ((req as Http2ServerRequest).stream?.session?.socket ?? req.socket) as TLSSocket;
    const { servername } = socket as { servername?: unknown };
    seen.push({
      version: req.httpVersion,
      headers: req.headers,
      clientCertificate: Object.keys(socket.getPeerCertificate() ?? {}).length > 0,
      servername,
    });
    res.end(`HTTP/${req.httpVersion}`);
  };
  const server = http2
    ? createSecureServer({ ...tls, allowHTTP1: true }, listener as never)
    : createTlsServer({ ...tls, ALPNProtocols: ["http/1.1"] }, listener as never);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.close();
    (server as Partial<Http2SecureServer> & { closeAllConnections?: () => void }).closeAllConnections?.();
  });
  return (server.address() as AddressInfo).port;
}

interface Answer {
  end(text: string): void;
}

async function meshOf(egress: EgressOptions): Promise<Mesh> {
  const stateDir = mkdtempSync(join(tmpdir(), "egress-"));
  const mesh = await createMesh({
    workload: { name: "caller" },
    stateDir,
    admin: false,
    drain: { timeout: "1s" },
    outbound: { egress },
    log: () => {},
  });
  cleanups.push(async () => {
    await mesh.close();
    rmSync(stateDir, { recursive: true, force: true });
  });
  return mesh;
}

async function error(response: Response): Promise<string> {
  await response.text();
  return `${response.status} ${response.headers.get("l5d-proxy-error")}`;
}

test("nothing outside the mesh is called unless it is allowed, and the refusal is counted", async () => {
  const mesh = await meshOf({});
  expect(await error(await mesh.fetch("https://api.example.com/v1"))).toBe(
    "403 egress to https://api.example.com is not allowed: add it to outbound.egress.allow",
  );
  expect(await error(await mesh.fetch("https://127.0.0.1:8443/"))).toBe(
    "403 egress to https://127.0.0.1:8443 is not allowed: add it to outbound.egress.allow",
  );
  expect(mesh.metrics()).toContain('selvage_errors_total{direction="outbound",reason="egress"} 2');
});

describe.skipIf(!hasOpenssl)("over TLS", () => {
  test("an allowed name is called over HTTP/2 by name, without a certificate or mesh headers, and measured", async () => {
    const port = await web();
    const mesh = await meshOf({ allow: [`https://localhost:${port}`], caFile: authority.rootFile });
    const headers = {
      "l5d-require-id": "",
      "l5d-other": "x",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      baggage: "customer=7",
      "x-own": "stays",
    };
    delete (headers as Record<string, string>)["l5d-require-id"];
    const response = await mesh.fetch(`https://localhost:${port}/v1`, { method: "POST", body: "hello", headers });
    expect([response.status, await response.text()]).toEqual([200, "HTTP/2.0"]);
    const [request] = seen;
    expect(request).toMatchObject({ version: "2.0", clientCertificate: false, servername: "localhost" });
    expect(request?.headers).toMatchObject({ "x-own": "stays", ":scheme": "https", ":authority": `localhost:${port}` });
    const names = Object.keys(request?.headers ?? {});
    expect(names.filter((name) => /^(l5d|trace|baggage|b3)/.test(name))).toEqual([]);
    expect(mesh.metrics()).toMatch(
      new RegExp(`http_client_request_duration_seconds_count\\{server_address="https://localhost:${port}".* 1`),
    );
  });

  test("a server that speaks only HTTP/1.1 gets that, and many requests at once get through", async () => {
    const port = await web(["DNS:localhost"], { http2: false });
    const mesh = await meshOf({ allow: [`localhost:${port}`], caFile: authority.rootFile });
    const answers = await Promise.all(
      Array.from({ length: 20 }, async () => (await mesh.fetch(`https://localhost:${port}/`)).text()),
    );
    expect(new Set(answers)).toEqual(new Set(["HTTP/1.1"]));
    expect(seen.every(({ clientCertificate }) => !clientCertificate)).toBe(true);
  });

  test("trace context is sent where that is allowed", async () => {
    const port = await web();
    const allow = [`localhost:${port}`];
    const mesh = await meshOf({ allow, caFile: authority.rootFile, traceContext: true });
    await (await mesh.fetch(`https://localhost:${port}/`, { headers: { traceparent: "00-1-2-01" } })).text();
    expect(seen[0]?.headers).toMatchObject({ traceparent: "00-1-2-01" });
  });

  test("node:https goes by the https agent", async () => {
    const port = await web();
    const mesh = await meshOf({ allow: [`localhost:${port}`], caFile: authority.rootFile });
    const status = await new Promise((resolve, reject) => {
      httpsRequest(`https://localhost:${port}/`, { agent: mesh.httpsAgent }, (res) => {
        res.resume();
        resolve(res.statusCode);
      })
        .on("error", reject)
        .end();
    });
    expect([status, seen.length]).toEqual([200, 1]);
  });

  test("an unknown root, another name and an expired certificate are refused with name, reason and remedy", async () => {
    const port = await web();
    const stranger = await meshOf({ allow: [`localhost:${port}`] });
    const unknown = await error(await stranger.fetch(`https://localhost:${port}/`));
    expect(unknown).toMatch(/^502 TLS with localhost \(127\.0\.0\.1:\d+\): its certificate leads to no root .*caFile/);
    const other = await web(["DNS:other.example"]);
    const mesh = await meshOf({ allow: [`localhost:${other}`], caFile: authority.rootFile });
    expect(await error(await mesh.fetch(`https://localhost:${other}/`))).toMatch(
      /^502 TLS with localhost .* its certificate is for other names; .*DNS:other\.example/,
    );
    expect(seen).toEqual([]);
  });

  test("an address is called as such, with the certificate checked against it", async () => {
    const port = await web(["IP:127.0.0.1"]);
    const mesh = await meshOf({ allow: [`https://127.0.0.1:${port}`], caFile: authority.rootFile });
    const response = await mesh.fetch(`https://127.0.0.1:${port}/`);
    expect([response.status, await response.text(), seen[0]?.clientCertificate]).toEqual([200, "HTTP/2.0", false]);
  });

  test("http and https to the same name are allowed, and counted, one by one", async () => {
    const port = await web();
    const mesh = await meshOf({ allow: [`https://localhost:${port}`], caFile: authority.rootFile });
    expect(await error(await mesh.fetch(`http://localhost:${port}/`))).toContain(
      `403 egress to http://localhost:${port} is not allowed`,
    );
  });
});

test("a file of roots that can't be used is found at start", async () => {
  await expect(meshOf({ caFile: "/nowhere/roots.pem" })).rejects.toThrow(
    'outbound.egress.caFile can\'t be read (ENOENT), got "/nowhere/roots.pem"; name a file of roots, or leave it out',
  );
  await expect(meshOf({ caFile: import.meta.filename })).rejects.toThrow("must have a certificate in PEM");
});

test("plain HTTP goes out where it is allowed", async () => {
  const { createServer } = await import("node:http");
  const server = createServer((req, res) => {
    res.end(JSON.stringify(req.headers));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const mesh = await meshOf({ allow: [`http://127.0.0.1:${port}`] });
  const headers = await new Promise<string>((resolve, reject) => {
    const options = { agent: mesh.agent, headers: { "l5d-x": "1", traceparent: "00-1-2-01", "x-own": "1" } };
    httpRequest(`http://127.0.0.1:${port}/`, options, (res) => {
      let text = "";
      res.on("data", (chunk) => {
        text += chunk;
      });
      res.on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
  expect(Object.keys(JSON.parse(headers)).filter((name) => name !== "connection")).toEqual(["host", "x-own"]);
});

test("what was asked for by https is not sent plain to an endpoint of the mesh's configuration", async () => {
  const stateDir = mkdtempSync(join(tmpdir(), "egress-"));
  const mesh = await createMesh({
    stateDir,
    admin: false,
    outbound: { services: { "inventory.shop": { endpoints: ["127.0.0.1:9"] } } },
  });
  cleanups.push(() => mesh.close());
  expect(await error(await mesh.fetch("https://inventory.shop/"))).toMatch(
    /^502 inventory\.shop was asked for by https, and 127\.0\.0\.1:9 is plain/,
  );
});
