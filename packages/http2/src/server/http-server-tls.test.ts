import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { get } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ScriptedService } from "../testing/scripted-service.js";
import { hasOpenssl, TestAuthority, type TestSvid } from "./fixtures/test-authority.js";
import { HttpServer } from "./http-server.js";
import type { HttpServerOptions } from "./http-server-options.js";

describe.runIf(hasOpenssl)("HttpServer with TLS", () => {
  let authority: TestAuthority;
  let other: TestAuthority;
  let svid: TestSvid;
  let client: TestSvid;
  let stranger: TestSvid;
  const servers: HttpServer[] = [];
  const sockets: Socket[] = [];

  beforeAll(() => {
    authority = new TestAuthority("one");
    other = new TestAuthority("other");
    svid = authority.issue("spiffe://test.example/server");
    client = authority.issue("spiffe://test.example/client");
    stranger = other.issue("spiffe://test.example/client");
  });

  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const server of servers.splice(0)) server.destroy();
  });

  afterAll(() => {
    authority.dispose();
    other.dispose();
  });

  const tls = () => ({
    ...svid,
    ca: authority.cert,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3" as const,
  });

  async function start(options: Partial<HttpServerOptions> = {}) {
    const failures: (string | undefined)[] = [];
    const service = new ScriptedService({ body: "hello" });
    const server = new HttpServer({
      service,
      tls: tls(),
      onTlsError: (_, authorizationError) => failures.push(authorizationError),
      ...options,
    });
    servers.push(server);
    const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
    return { server, port, service, failures };
  }

  const clientOptions = (port: number, more: ConnectionOptions = {}): ConnectionOptions => ({
    port,
    host: "127.0.0.1",
    servername: "",
    ca: authority.cert,
    ...client,
    checkServerIdentity: () => undefined,
    ...more,
  });

  function dial(port: number, more: ConnectionOptions = {}): TLSSocket {
    const socket = connect(clientOptions(port, more));
    socket.on("error", () => {});
    sockets.push(socket);
    return socket;
  }

  function dialPlain(port: number): Socket {
    const socket = connectTcp({ port, host: "127.0.0.1" });
    socket.on("error", () => {});
    sockets.push(socket);
    return socket;
  }

  async function readAll(socket: Socket): Promise<string> {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    return Buffer.concat(chunks).toString("latin1");
  }

  const request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

  test("clients that want ALPN get it, HTTP/1 and HTTP/2, and plaintext is served beside", async () => {
    const { port, service } = await start();
    const [response] = await once(get({ ...clientOptions(port), path: "/1", agent: false }), "response");
    expect((await response.toArray()).join("")).toBe("hello");
    const session = connectHttp2(`https://127.0.0.1:${port}`, clientOptions(port));
    const stream = session.request({ ":path": "/2" });
    expect((await stream.toArray()).join("")).toBe("hello");
    expect(session.alpnProtocol).toBe("h2");
    session.close();
    const plain = dialPlain(port);
    plain.write(request);
    expect(await readAll(plain)).toContain("hello");
    expect(service.calls.map(({ x }) => [x.connection?.encrypted, x.connection?.protocol])).toEqual([
      [true, "http/1"],
      [true, "http/2"],
      [false, "http/1"],
    ]);
  });

  test.each([
    ["no ALPN", {}, false],
    ["an ALPN name we don't know", { ALPNProtocols: ["transport.l5d.io/v1"] }, false],
    ["an ALPN answer that the client doesn't keep to", { ALPNProtocols: ["h2"] }, "h2"],
  ] as const)("HTTP/1 is found in TLS with %s", async (_, options, negotiated) => {
    const { port } = await start();
    const socket = dial(port, {
      ...options,
      ALPNProtocols: [...("ALPNProtocols" in options ? options.ALPNProtocols : [])],
    });
    socket.write(request);
    expect(await readAll(socket)).toContain("hello");
    expect(socket.alpnProtocol).toBe(negotiated);
  });

  test("HTTP/2 by prior knowledge is found in TLS without ALPN", async () => {
    const { port } = await start();
    const session = connectHttp2("http://any", { createConnection: () => dial(port) });
    const stream = session.request({ ":path": "/" });
    expect((await stream.toArray()).join("")).toBe("hello");
    session.close();
  });

  test("the hook sees the peer's certificate before anything is parsed", async () => {
    const seen: (string | undefined)[] = [];
    const { port, service } = await start({
      onConnection: (c) => {
        seen.push((c.socket as TLSSocket).getPeerCertificate().subjectaltname);
        return false;
      },
    });
    const socket = dial(port);
    socket.write(request);
    expect(await readAll(socket)).toBe("");
    expect(seen).toEqual(["URI:spiffe://test.example/client"]);
    expect(service.calls).toEqual([]);
  });

  test("peers without a certificate, or with one of another authority, never reach the service, and the reason is told", async () => {
    const { port, service, failures, server } = await start();
    const without = connect({ port, host: "127.0.0.1", ca: authority.cert, checkServerIdentity: () => undefined });
    sockets.push(without);
    without.on("error", () => {});
    without.write(request);
    expect(await readAll(without)).toBe("");
    const untrusted = dial(port, stranger);
    untrusted.write(request);
    expect(await readAll(untrusted)).toBe("");
    while (server.connections > 0) await new Promise(setImmediate);
    expect(service.calls).toEqual([]);
    expect(failures.length).toBe(2);
    expect(failures[1]).toBe("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
  });

  test("TLS 1.2 is refused when the options say so, also after a rotation that doesn't repeat it", async () => {
    const { port, server, service } = await start();
    server.setSecureContext({ ...svid, ca: authority.cert });
    const socket = dial(port, { maxVersion: "TLSv1.2" });
    socket.write(request);
    expect(await readAll(socket)).toBe("");
    expect(service.calls).toEqual([]);
  });

  test("after a rotation new handshakes get the new certificate, and open connections go on", async () => {
    const { port, server } = await start();
    const before = dial(port);
    before.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(before, "data");
    const next = authority.issue("spiffe://test.example/next");
    server.setSecureContext({ ...next, ca: authority.cert });
    for (const ALPNProtocols of [["http/1.1"], ["foreign"]]) {
      const after = dial(port, { ALPNProtocols });
      await once(after, "secureConnect");
      expect(after.getPeerCertificate().subjectaltname).toBe("URI:spiffe://test.example/next");
    }
    before.write(request);
    expect(await readAll(before)).toContain("hello");
  });

  test("a rotation that can't be used throws, and changes nothing", async () => {
    const { port, server } = await start();
    expect(() => server.setSecureContext({ ...svid })).toThrow("ca is missing");
    expect(() => server.setSecureContext({ key: "x", cert: "y", ca: authority.cert })).toThrow();
    const socket = dial(port);
    socket.write(request);
    expect(await readAll(socket)).toContain("hello");
  });

  test("sessions aren't resumed", async () => {
    const { port } = await start();
    const first = dial(port);
    const session = once(first, "session");
    first.write(request);
    await readAll(first);
    const [ticket] = await session;
    const second = dial(port, { session: ticket });
    await once(second, "secureConnect");
    expect(second.isSessionReused()).toBe(false);
  });

  test("half a handshake, silence within TLS and what isn't TLS after all are cut off", async () => {
    const { port, server, failures } = await start({ handshakeTimeoutMs: 80, detectTimeoutMs: 80 });
    const half = dialPlain(port);
    half.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]));
    const garbage = dialPlain(port);
    garbage.write(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 20]), Buffer.alloc(20, 7)]));
    const silent = dial(port);
    await Promise.all([half, garbage, silent].map(readAll));
    while (server.connections > 0) await new Promise(setImmediate);
    expect(failures.length).toBe(1);
  });

  test("a hello that comes byte by byte is a hello, and one that stops in the handshake times out", async () => {
    const { port, server, failures } = await start({ handshakeTimeoutMs: 80 });
    const through = dialPlain(port);
    const hello: Buffer[] = [];
    const source = connect({
      ...clientOptions(port),
      socket: new Duplex({
        read() {},
        write(chunk, _encoding, done) {
          hello.push(chunk);
          done();
        },
      }),
    });
    source.on("error", () => {});
    while (hello.length === 0) await new Promise(setImmediate);
    for (const byte of Buffer.concat(hello)) {
      through.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    const [answer] = (await once(through, "data")) as [Buffer];
    expect(answer[0]).toBe(0x16);
    await readAll(through);
    source.destroy();
    while (server.connections > 0) await new Promise(setImmediate);
    expect(failures.length).toBe(1);
  });

  test("without plaintext only TLS is served", async () => {
    const { port, service } = await start({ plaintext: false });
    const plain = dialPlain(port);
    plain.write(request);
    expect(await readAll(plain)).toBe("");
    const socket = dial(port);
    socket.write(request);
    expect(await readAll(socket)).toContain("hello");
    expect(service.calls.length).toBe(1);
  });

  test("handshakes that are broken off leave nothing behind", async () => {
    const { port, server } = await start();
    for (let round = 0; round < 10; round++) {
      const started = Array.from({ length: 20 }, () => dial(port));
      await Promise.all(started.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
      for (const [i, socket] of started.entries()) {
        if (i % 2 === 0) socket.destroy();
        else setImmediate(() => socket.destroy());
      }
      while (server.connections > 0) await new Promise(setImmediate);
    }
    const socket = dial(port);
    socket.write(request);
    expect(await readAll(socket)).toContain("hello");
  });
});
