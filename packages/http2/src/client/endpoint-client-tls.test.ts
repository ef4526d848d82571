import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Exchange } from "../exchange.js";
import { hasOpenssl, TestAuthority, type TestSvid } from "../server/fixtures/test-authority.js";
import { HttpServer } from "../server/http-server.js";
import { RecordingSink } from "../testing/recording-sink.js";
import { ScriptedService } from "../testing/scripted-service.js";
import { TestBody } from "../testing/test-body.js";
import { exchange } from "../testing/test-exchange.js";
import { tlsConnect } from "./connect.js";
import { EndpointClient } from "./endpoint-client.js";
import type { EndpointClientOptions } from "./endpoint-client-options.js";

describe.runIf(hasOpenssl)("EndpointClient over mutual TLS", () => {
  let authority: TestAuthority;
  let other: TestAuthority;
  const cleanups: (() => unknown)[] = [];

  beforeAll(() => {
    authority = new TestAuthority("one");
    other = new TestAuthority("other");
  });

  afterEach(() => {
    for (const cleanup of cleanups.splice(0)) cleanup();
  });

  afterAll(() => {
    authority.dispose();
    other.dispose();
  });

  const serverTls = (svid: TestSvid) => ({
    ...svid,
    ca: authority.cert,
    requestCert: true,
    minVersion: "TLSv1.3" as const,
  });

  async function setUp(
    service: ScriptedService,
    clientSvid: () => TestSvid,
    options: Partial<EndpointClientOptions> = {},
  ) {
    const server = new HttpServer({
      service,
      tls: serverTls(authority.issue("spiffe://test.example/server")),
      plaintext: false,
      restoreHttp1: (c) => c.encrypted,
    });
    cleanups.push(() => server.destroy());
    const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
    const connect = tlsConnect({
      host: "127.0.0.1",
      port,
      timeoutMs: 5_000,
      lent: true,
      tls: () => ({ ...clientSvid(), ca: authority.cert, checkServerIdentity: () => undefined }),
    });
    const client = new EndpointClient(connect, {
      protocol: "h2",
      carryHttp1: true,
      connectTimeoutMs: 5_000,
      ...options,
    });
    cleanups.push(() => client.destroy());
    return { server, client };
  }

  function send(client: EndpointClient, x: Exchange = exchange()): RecordingSink {
    const sink = new RecordingSink();
    client.call(x, sink);
    return sink;
  }

  test("HTTP/1 crosses on HTTP/2, and a tunnel on HTTP/1, in the same mutual TLS", async () => {
    const service = new ScriptedService((call) =>
      call.x.tunnel
        ? { status: 101, headers: ["connection", "upgrade", "upgrade", "websocket"], echo: true }
        : { headers: ["x-a", "1"], body: "carried" },
    );
    const svid = authority.issue("spiffe://test.example/client");
    const { client } = await setUp(service, () => svid);
    const sink = await send(client, exchange({ method: "POST", body: "abc" })).done;
    expect([sink.status, sink.text, sink.violations]).toEqual([200, "carried", []]);
    const body = new TestBody();
    const tunnel = send(
      client,
      exchange({ tunnel: true, headers: { connection: "upgrade", upgrade: "websocket" }, body }),
    );
    expect((await tunnel.head).status).toBe(101);
    const bytes = Buffer.alloc(200_000, "w");
    body.push(bytes);
    await tunnel.received(bytes.length);
    expect(tunnel.body.equals(bytes)).toBe(true);
    body.end();
    expect((await tunnel.done).error).toBeNull();
    expect(service.calls.map(({ x }) => [x.version, x.connection?.protocol, x.connection?.encrypted])).toEqual([
      ["1.1", "http/2", true],
      ["1.1", "http/1", true],
    ]);
  });

  test("bodies of all sizes cross at the same time, in batches of any length, as they were", async () => {
    const service = new ScriptedService({ echo: true });
    const { client } = await setUp(service, () => authority.issue("spiffe://test.example/client"));
    const sizes = [1, 4_095, 10_240, 16_384, 16_385, 65_536, 65_537, 300_000];
    const bodies = Array.from({ length: 64 }, (_, i) => Buffer.alloc(sizes[i % sizes.length]!, `${i} `));
    const sinks = await Promise.all(
      bodies.map((bytes) => {
        const body = new TestBody();
        const sink = send(client, exchange({ method: "POST", body }));
        body.push(bytes);
        body.end();
        return sink.done;
      }),
    );
    expect(sinks.map(({ body }, i) => body.equals(bodies[i]!))).toEqual(bodies.map(() => true));
    expect(service.calls.length).toBe(bodies.length);
  });

  test.each(["h2", "h1"] as const)("a peer that refuses our certificate is told as such (%s)", async (protocol) => {
    const stranger = other.issue("spiffe://test.example/client");
    const service = new ScriptedService();
    const { client } = await setUp(service, () => stranger, { protocol });
    const sink = await send(client).done;
    expect(sink.error?.message).toContain("the peer may have refused our certificate");
    // With HTTP/2 nothing leaves before the peer has answered, so that another endpoint may be tried.
    if (protocol === "h2") expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_TLS", progress: "unsent" });
    expect(service.calls).toEqual([]);
  });

  test.each(["h2", "h1"] as const)("both ends rotate under load, and nothing fails (%s)", async (protocol) => {
    const service = new ScriptedService((call) => {
      setImmediate(() => call.answer({ body: "x" }));
      return null;
    });
    const svids = [0, 1, 2, 3].map((i) => authority.issue(`spiffe://test.example/client${i}`));
    const serverSvids = [0, 1, 2, 3].map((i) => authority.issue(`spiffe://test.example/server${i}`));
    let generation = 0;
    const { client, server } = await setUp(service, () => svids[generation]!, { protocol });
    const failures: unknown[] = [];
    let done = 0;
    const worker = async () => {
      while (done < 1_200) {
        const { error } = await send(client).done;
        if (error !== null) failures.push(error);
        done++;
        if (done % 300 === 0 && generation < 3) {
          generation++;
          server.setSecureContext({ ...serverSvids[generation]!, ca: authority.cert });
          client.refresh();
        }
      }
    };
    await Promise.all(Array.from({ length: 10 }, worker));
    expect(failures).toEqual([]);
    await send(client).done;
    const socket = service.calls.at(-1)!.x.connection!.socket as TLSSocket;
    expect(socket.getPeerCertificate().subjectaltname).toBe("URI:spiffe://test.example/client3");
  });

  test("a rotation that can't connect keeps the session there is", async () => {
    const good = authority.issue("spiffe://test.example/client");
    let svid: TestSvid = good;
    const { client } = await setUp(new ScriptedService({ body: "x" }), () => svid, {
      backoff: { minMs: 20, maxMs: 20 },
    });
    await send(client).done;
    svid = { key: "broken", cert: "broken" };
    client.refresh();
    for (let i = 0; i < 20; i++) {
      expect((await send(client).done).error).toBeNull();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    svid = good;
  });
});
