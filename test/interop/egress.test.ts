import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { createSecureServer, type Http2ServerRequest } from "node:http2";
import type { Agent as HttpsAgent } from "node:https";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import type { TLSSocket } from "node:tls";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { createMesh, type Mesh } from "@selvage/core";
import { peerOfCall, serveGrpc } from "@selvage/core/grpc";
import { installGlobalDispatcher } from "@selvage/http2/node";
import { type Shim, startShim } from "@selvage/proxy-shim";
import axios from "axios";
import got from "got";
import { request as undiciRequest } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasOpenssl, WebAuthority } from "../../packages/core/src/egress/fixtures/web-authority.js";
import { definition, GrpcLog, grpcApp } from "../conformance/grpc-app.js";
import { echoApp } from "./echo-app.js";
import { callerId, listen, Meshes, serverId } from "./meshes.js";
import { describeWith, execute } from "./programs.js";

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly version: string;
  readonly headers: IncomingHttpHeaders;
  readonly clientCertificate: boolean;
  readonly length: number;
}

/** What no one outside may get. */
const own = /^(l5d|traceparent|tracestate|baggage|proxy-)/;
const meshes = new Meshes();
let authority: WebAuthority;
let web: string;
let webPort: number;
/** The same web with a certificate that was good until yesterday. */
let expired: string;
let shim: Shim;
let library: Mesh;
let seen: Seen[] = [];

/** Somebody's server on the web, that would take a client certificate. */
async function startWeb(days = 2): Promise<number> {
  const tls = { ...authority.issue(["DNS:localhost"], days), requestCert: true, rejectUnauthorized: false };
  const server = createSecureServer({ ...tls, allowHTTP1: true }, async (req, res) => {
    let length = 0;
    for await (const chunk of req) length += (chunk as Buffer).length;
    const socket = ((req as Http2ServerRequest).stream?.session?.socket ?? req.socket) as TLSSocket;
    seen.push({
      method: req.method,
      url: req.url,
      version: req.httpVersion,
      headers: req.headers,
      clientCertificate: Object.keys(socket.getPeerCertificate() ?? {}).length > 0,
      length,
    });
    res.end(`hello by ${req.httpVersion}`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  meshes.onStop(async () => void server.close());
  return (server.address() as AddressInfo).port;
}

/** The one request that the web saw, after it was looked at for what must not get there. */
function theOne(): Seen {
  const all = seen;
  seen = [];
  expect(all).toHaveLength(1);
  expect(Object.keys(all[0]!.headers).filter((name) => own.test(name))).toEqual([]);
  expect(all[0]!.clientCertificate).toBe(false);
  return all[0]!;
}

beforeAll(async () => {
  if (!hasOpenssl) return;
  authority = new WebAuthority("somebody else");
  webPort = await startWeb();
  web = `https://localhost:${webPort}`;
  expired = `https://localhost:${await startWeb(-1)}`;
  const port = await listen((await meshes.server()).createServer(echoApp));
  const grpc = await meshes.server({ workload: { name: "server", namespace: "test" } });
  const grpcPort = await listen(
    serveGrpc(
      grpc,
      grpcApp("g", new GrpcLog(), (call) => peerOfCall(call)?.toString() ?? null),
    ),
  );
  const services = {
    "echo.test": { endpoints: [{ address: `127.0.0.1:${port}`, identity: serverId }] },
    "grpc.test": { endpoints: [{ address: `127.0.0.1:${grpcPort}`, identity: serverId }] },
  };
  const egress = { allow: [web, expired], caFile: authority.rootFile };
  const options = {
    workload: { name: "caller", namespace: "test" },
    stateDir: meshes.stateDir,
    admin: false,
    drain: { timeout: "500ms" },
    outbound: { port: 0, services, egress },
  } as const;
  library = await createMesh(options);
  meshes.onStop(() => library.close());
  shim = await startShim({ inbound: false, options });
  meshes.onStop(() => shim.close());
});

afterAll(async () => {
  await meshes.stop();
  authority?.dispose();
});

/** What the shim has counted, of one metric and with all of some labels. */
function counted(metrics: string, name: string, ...labels: string[]): number {
  const line = metrics
    .split("\n")
    .find((text) => text.startsWith(name) && labels.every((label) => text.includes(label)));
  return Number(line?.split(" ").at(-1) ?? 0);
}

const headers = {
  "x-own": "1",
  "l5d-dst": "x",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

describe.skipIf(!hasOpenssl)("the library", () => {
  const clients: Record<string, () => Promise<string>> = {
    fetch: async () => (await library.fetch(`${web}/a?b`, { headers })).text(),
    undici: async () => (await undiciRequest(`${web}/a?b`, { headers, dispatcher: library.dispatcher })).body.text(),
    axios: async () =>
      (await axios.get<string>(`${web}/a?b`, { headers, httpsAgent: library.httpsAgent, proxy: false })).data,
    got: () =>
      got(`${web}/a?b`, { headers, agent: { https: library.httpsAgent as HttpsAgent }, retry: { limit: 0 } }).text(),
  };

  test.each(Object.keys(clients))("%s", async (name) => {
    const labels = [`server_address="${web}"`];
    const before = counted(library.metrics(), "http_client_request_duration_seconds_count", ...labels);
    expect(await clients[name]!()).toBe("hello by 2.0");
    expect(theOne()).toMatchObject({ method: "GET", url: "/a?b", headers: { "x-own": "1" } });
    expect(counted(library.metrics(), "http_client_request_duration_seconds_count", ...labels)).toBe(before + 1);
  });

  test("fetch of Node and undici by the global dispatcher, for what is outside and what is a service", async () => {
    const restore = installGlobalDispatcher(library.dispatcher);
    try {
      expect(await (await fetch(`${web}/global`, { headers })).text()).toBe("hello by 2.0");
      expect(theOne()).toMatchObject({ url: "/global", headers: { "x-own": "1" } });
      const { body } = await undiciRequest(`${web}/undici`, { method: "POST", headers, body: "12345" });
      expect(await body.text()).toBe("hello by 2.0");
      expect(theOne()).toMatchObject({ url: "/undici", method: "POST", length: 5 });
      expect((await fetch("https://elsewhere.example/")).status).toBe(403);
      // By https, too: the mesh encrypts what is its own.
      expect(await (await fetch("https://echo.test/x")).json()).toMatchObject({ peer: callerId, encrypted: true });
    } finally {
      restore();
    }
    await expect(fetch(`${web}/after`)).rejects.toThrow();
    expect(seen).toEqual([]);
  });

  test("a certificate that has expired is refused, with what to do", async () => {
    const response = await library.fetch(expired);
    expect([response.status, await response.text()]).toEqual([502, expect.stringMatching(hasExpired)]);
    expect(seen).toEqual([]);
  });

  test("another name is refused", async () => {
    const response = await library.fetch("https://elsewhere.example/");
    expect([response.status, await response.text()]).toEqual([
      403,
      "egress to https://elsewhere.example is not allowed: add it to outbound.egress.allow\n",
    ]);
  });

  test("services of the mesh are called as before", async () => {
    expect((await library.fetch("http://echo.test/")).status).toBe(200);
  });
});

const hasExpired =
  /^TLS with localhost \(127\.0\.0\.1:\d+\): its certificate, or one above it, has expired; its owner has to renew it/;

function ofShim(options: { method?: string; path: string; headers?: Record<string, string>; body?: string }) {
  return new Promise<{ status: number; text: string; reason: unknown }>((resolve, reject) => {
    const { port } = new URL(shim.outboundUrl);
    const { body, ...rest } = options;
    const req = httpRequest({ host: "127.0.0.1", port, ...rest }, (res) => {
      let text = "";
      res.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, text, reason: res.headers["l5d-proxy-error"] }));
    });
    req.on("error", reject);
    req.end(body);
  });
}

const shimMetrics = async () => {
  const { renderPrometheus } = await import("@selvage/core/spi");
  return renderPrometheus(shim.runtime.metrics.registry);
};

describe.skipIf(!hasOpenssl)("the shim as HTTP_PROXY", () => {
  test("an https URL in absolute form goes out over TLS, without what is the mesh's or the proxy's", async () => {
    const answer = await ofShim({
      method: "POST",
      path: `${web}/post`,
      headers: { ...headers, "proxy-connection": "keep-alive" },
      body: "12345",
    });
    expect(answer).toMatchObject({ status: 200, text: "hello by 2.0" });
    expect(theOne()).toMatchObject({ method: "POST", url: "/post", length: 5, headers: { "x-own": "1" } });
  });

  test("a certificate that has expired is refused, with what to do", async () => {
    expect(await ofShim({ path: `${expired}/` })).toMatchObject({
      status: 502,
      reason: expect.stringMatching(hasExpired),
    });
    expect(seen).toEqual([]);
  });

  test("what would happen is explained", () => {
    expect(shim.runtime.explain({ method: "GET", url: `${web}/v1` })).toMatchObject({
      scheme: "https",
      path: "/v1",
      problem: null,
      target: {
        authority: web,
        outside: true,
        endpoints: [{ identity: null, wire: expect.stringMatching(/^HTTP\/2, TLS/) }],
      },
    });
    expect(shim.runtime.explain({ method: "GET", url: "https://elsewhere.example/" })).toMatchObject({
      problem: "egress to https://elsewhere.example is not allowed: add it to outbound.egress.allow",
    });
  });

  test("another is refused", async () => {
    expect(await ofShim({ path: "https://elsewhere.example/" })).toMatchObject({
      status: 403,
      reason: "egress to https://elsewhere.example is not allowed: add it to outbound.egress.allow",
    });
  });
});

const root = resolve(import.meta.dirname, "../..");
const cli = join(root, "packages/proxy-shim/dist/cli.cjs");

describe.skipIf(!hasOpenssl).each([
  { who: "the library", command: [] as string[], behind: "" },
  {
    who: "the shim",
    command: [cli, "run", "--no-inbound", "--admin-port", "0", "--outbound-port", "0", "--", process.execPath],
    behind: "1",
  },
])("roots of the environment: $who in a process of its own", ({ command, behind }) => {
  async function call(env: NodeJS.ProcessEnv): Promise<string> {
    const client = join(import.meta.dirname, "programs/egress-client.mjs");
    const { stdout, stderr, status } = await execute(process.execPath, [...command, client, `${web}/child`], {
      cwd: meshes.stateDir,
      env: {
        ...process.env,
        NODE_ENV: "",
        NODE_OPTIONS: "",
        SELVAGE_STATE_DIR: meshes.stateDir,
        SELVAGE_OUTBOUND_EGRESS_ALLOW: web,
        BEHIND_SHIM: behind,
        ...env,
      },
    });
    expect({ status, stdout, stderr: status === 0 ? "" : stderr }).toMatchObject({ status: 0, stderr: "" });
    return stdout;
  }

  test("NODE_EXTRA_CA_CERTS is believed, alone and beside outbound.egress.caFile", async () => {
    const other = new WebAuthority("yet another");
    try {
      expect(await call({ NODE_EXTRA_CA_CERTS: authority.rootFile })).toBe("200 hello by 2.0");
      theOne();
      const both = { NODE_EXTRA_CA_CERTS: authority.rootFile, SELVAGE_OUTBOUND_EGRESS_CA_FILE: other.rootFile };
      expect(await call(both)).toBe("200 hello by 2.0");
      theOne();
    } finally {
      other.dispose();
    }
  });

  test("without it the certificate leads to no root, whatever NODE_TLS_REJECT_UNAUTHORIZED says", async () => {
    const text = await call({ NODE_EXTRA_CA_CERTS: "", NODE_TLS_REJECT_UNAUTHORIZED: "0" });
    expect(text).toMatch(/^502 TLS with localhost .* its certificate leads to no root .*caFile/);
    expect(seen).toEqual([]);
  });
});

describeWith("curl", ["--version"], "curl", () => {
  const curl = (...parameters: string[]) =>
    execute("curl", ["-q", "-sS", "--max-time", "10", "--noproxy", "", "--proxy", shim.outboundUrl, ...parameters]);

  test.skipIf(!hasOpenssl)("https goes through a tunnel, which is counted", async () => {
    const { stdout, stderr } = await curl("--cacert", authority.rootFile, `${web}/curl`);
    expect({ stdout, stderr }).toEqual({ stdout: "hello by 2.0", stderr: "" });
    expect(theOne()).toMatchObject({ url: "/curl" });
    const labels = [`server_address="tcp://localhost:${webPort}"`, 'http_request_method="CONNECT"'];
    await expect
      .poll(async () => counted(await shimMetrics(), "http_client_request_duration_seconds_count", ...labels))
      .toBe(1);
  });

  test.skipIf(!hasOpenssl)("a tunnel elsewhere is refused, by policy", async () => {
    const { status, stderr } = await curl("https://elsewhere.example/");
    expect(status).not.toBe(0);
    expect(stderr).toMatch(/CONNECT tunnel failed, response 403/);
  });

  test.skipIf(!hasOpenssl).each(["--http1.1", "--http2-prior-knowledge"])(
    "a tunnel to a service of the mesh leads into it, %s",
    async (version) => {
      const once = [version, "--proxytunnel", "-d", "hello", "http://echo.test:80/x"];
      const { stdout, status } = await curl(...once);
      expect(status).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        url: "/x",
        method: "POST",
        length: 5,
        peer: callerId,
        encrypted: true,
      });
    },
  );

  test.skipIf(!hasOpenssl)("who encrypts within such a tunnel is told so", async () => {
    const { status, stderr } = await curl("https://echo.test/");
    expect(status).toBe(35);
    expect(stderr).toMatch(/alert|denied/i);
    expect(await shimMetrics()).toMatch(/selvage_protections_total\{reason="tls to the outbound port"\} 1/);
  });
});

describeWith("python3", ["--version"], "urllib", () => {
  test.skipIf(!hasOpenssl)("through the proxies of the environment", async () => {
    const url = shim.outboundUrl;
    const env = { ...process.env, http_proxy: url, https_proxy: url, no_proxy: "", SSL_CERT_FILE: authority.rootFile };
    const code = [
      "import json, sys, urllib.request",
      "print(json.load(urllib.request.urlopen('http://echo.test/mesh', timeout=10))['peer'])",
      `print(urllib.request.urlopen('${web}/python', data=b'x' * 100000, timeout=10).read().decode())`,
    ].join("\n");
    const { status, stdout, stderr } = await execute("python3", ["-c", code], { env });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toBe(`${callerId}\nhello by 1.1\n`);
    expect(theOne()).toMatchObject({ url: "/python", version: "1.1", length: 100_000 });
  });
});

describe.skipIf(!hasOpenssl)("grpc-js with the shim as its proxy", () => {
  test("calls reach a service of the mesh, with the program's identity", async () => {
    const before = process.env["grpc_proxy"];
    process.env["grpc_proxy"] = shim.outboundUrl;
    const Client = makeGenericClientConstructor(definition, "test.Conformance");
    const client = new Client("grpc.test:80", credentials.createInsecure());
    try {
      const answer = await new Promise((resolve, reject) => {
        const call = client["unary"] as unknown as (
          ask: object,
          options: object,
          done: (error: unknown, answer: unknown) => void,
        ) => void;
        call.call(client, { do: "peer" }, { deadline: Date.now() + 10_000 }, (error, value) =>
          error ? reject(error) : resolve(value),
        );
      });
      expect(JSON.stringify(answer)).toContain(callerId);
    } finally {
      client.close();
      if (before === undefined) delete process.env["grpc_proxy"];
      else process.env["grpc_proxy"] = before;
    }
  });
});
