import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ScriptedService } from "../testing/scripted-service.js";
import { hasOpenssl, TestAuthority, type TestSvid } from "./fixtures/test-authority.js";
import { HttpServer } from "./http-server.js";
import type { HttpServerOptions } from "./http-server-options.js";

describe.runIf(hasOpenssl)("a port that takes only TLS", () => {
  let authority: TestAuthority;
  let svid: TestSvid;
  let client: TestSvid;
  const cleanups: (() => unknown)[] = [];

  beforeAll(() => {
    authority = new TestAuthority("one");
    svid = authority.issue("spiffe://test.example/server");
    client = authority.issue("spiffe://test.example/client");
  });

  afterEach(() => {
    for (const cleanup of cleanups.splice(0).reverse()) cleanup();
  });

  afterAll(() => authority.dispose());

  function make(options: Partial<HttpServerOptions> = {}) {
    const refusals: string[] = [];
    const failures: unknown[] = [];
    const service = new ScriptedService({ body: "hello" });
    const server = new HttpServer({
      service,
      tls: {
        ...svid,
        ca: authority.cert,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: "TLSv1.3",
        ALPNProtocols: ["h2", "http/1.1"],
      },
      plaintext: false,
      onProtection: (reason) => refusals.push(reason),
      onTlsError: (error, reason) => failures.push(reason ?? (error as NodeJS.ErrnoException).code),
      ...options,
    });
    cleanups.push(() => server.destroy());
    const empty = async () => {
      while (server.connections > 0) await new Promise(setImmediate);
    };
    return { server, service, refusals, failures, empty };
  }

  async function start(options: Partial<HttpServerOptions> = {}) {
    const made = make(options);
    const { port } = await made.server.listen({ port: 0, host: "127.0.0.1" });
    return { ...made, port };
  }

  async function dialPlain(port: number): Promise<Socket> {
    const socket = connectTcp({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    cleanups.push(() => socket.destroy());
    await once(socket, "connect");
    socket.on("error", () => {});
    return socket;
  }

  function dial(options: ConnectionOptions): TLSSocket {
    const socket = connect({
      host: "127.0.0.1",
      servername: "",
      ca: authority.cert,
      ...client,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
    return socket;
  }

  async function readAll(socket: Socket): Promise<string> {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => socket.end());
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    return Buffer.concat(chunks).toString("latin1");
  }

  /** The bytes that a TLS client says first. */
  async function clientHello(): Promise<Buffer> {
    return new Promise((resolve) => {
      const write = (chunk: Buffer, _encoding: string, done: () => void) => {
        resolve(chunk);
        done();
      };
      dial({ socket: new Duplex({ read() {}, write }) });
    });
  }

  const request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

  test.each([
    ["HTTP/1", request],
    ["HTTP/1 with a method of its own", "PROPFIND / HTTP/1.1\r\nhost: a\r\n\r\n"],
    ["HTTP/1 after an empty line", `\r\n${request}`],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"],
    ["HTTP/2 by prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
    ["a line of text", "SSH-2.0-client\r\n"],
    ["bytes", "\0\0\0\x01\x7f\xff\xfe"],
    ["a handshake record of another version", "\x16\x02\x01\0\x05hello"],
  ])("closes %s without a word, and counts it", async (_, text) => {
    const opaque: unknown[] = [];
    const { port, refusals, failures, service, empty } = await start({ onOpaque: (c) => opaque.push(c) });
    const socket = await dialPlain(port);
    socket.write(Buffer.from(text, "latin1"));
    expect(await readAll(socket)).toBe("");
    await empty();
    expect({ refusals, failures, opaque }).toEqual({ refusals: ["plaintext refused"], failures: [], opaque: [] });
    expect(service.calls).toEqual([]);
  });

  test("text that comes byte by byte is text", async () => {
    const { port, refusals, failures } = await start();
    const socket = await dialPlain(port);
    for (const byte of Buffer.from("GET /")) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect(await readAll(socket)).toBe("");
    expect({ refusals, failures }).toEqual({ refusals: ["plaintext refused"], failures: [] });
  });

  test.each(["", "\x16", "GET "])(
    "nothing is counted for one that goes after %j, be it by an end or a reset",
    async (text) => {
      const { port, server, refusals, failures, empty } = await start();
      for (const leave of ["end", "destroy", "resetAndDestroy"] as const) {
        const socket = await dialPlain(port);
        if (text !== "") socket.write(text);
        while (server.connections === 0) await new Promise(setImmediate);
        socket[leave]();
        await empty();
      }
      expect({ refusals, failures }).toEqual({ refusals: [], failures: [] });
    },
  );

  test("silence is cut off after the time for first bytes, and counts only where opaque protocols are taken", async () => {
    const quiet = await start({ detectTimeoutMs: 50 });
    expect(await readAll(await dialPlain(quiet.port))).toBe("");
    expect([quiet.refusals, quiet.failures]).toEqual([[], []]);
    const opaque: unknown[] = [];
    const taking = await start({ detectTimeoutMs: 50, onOpaque: (c) => opaque.push(c) });
    expect(await readAll(await dialPlain(taking.port))).toBe("");
    expect([taking.refusals, taking.failures, opaque]).toEqual([["plaintext refused"], [], []]);
  });

  test("half a hello has the time of a handshake, and then is one that failed", async () => {
    const { port, refusals, failures } = await start({ detectTimeoutMs: 1, handshakeTimeoutMs: 300 });
    const socket = await dialPlain(port);
    const hello = await clientHello();
    socket.write(hello.subarray(0, hello.length >> 1));
    const began = performance.now();
    expect(await readAll(socket)).toBe("");
    expect(performance.now() - began).toBeGreaterThan(150);
    expect({ refusals, failures }).toEqual({ refusals: [], failures: ["ERR_TLS_HANDSHAKE_TIMEOUT"] });
  });

  test("one that breaks off within its handshake has failed", async () => {
    const { port, failures, empty } = await start();
    const hello = await clientHello();
    for (const bytes of [hello.subarray(0, 40), hello]) {
      const socket = await dialPlain(port);
      socket.write(bytes);
      if (bytes === hello) await once(socket, "data");
      socket.end();
      await readAll(socket);
      await empty();
    }
    expect(failures).toEqual(["ECONNRESET", "ECONNRESET"]);
  });

  test("TLS that makes no sense after all has failed, and is no plaintext", async () => {
    const { port, refusals, failures } = await start();
    const hello = await clientHello();
    // A second record of the hello, in a version that there isn't.
    const records = [
      Buffer.concat([Buffer.from([0x16, 3, 1, 0, 20]), Buffer.alloc(20, 7)]),
      Buffer.concat([
        Buffer.from([0x16, 3, 1, 0, 50]),
        hello.subarray(5, 55),
        Buffer.from([0x16, 9, 9, 0, 50]),
        hello.subarray(55),
      ]),
    ];
    for (const bytes of records) {
      const socket = await dialPlain(port);
      socket.write(bytes);
      // An alert.
      expect((await readAll(socket)).charCodeAt(0)).toBe(0x15);
    }
    expect(refusals).toEqual([]);
    expect(failures.length).toBe(2);
  });

  test("peers that can't prove who they are have failed, with the reason", async () => {
    const { port, service, failures, empty } = await start();
    const other = new TestAuthority("other");
    cleanups.push(() => other.dispose());
    const stranger = dial({ port, ...other.issue("spiffe://test.example/client") });
    stranger.write(request);
    expect(await readAll(stranger)).toBe("");
    const old = dial({ port, maxVersion: "TLSv1.2" });
    expect(await readAll(old)).toBe("");
    await empty();
    expect(failures).toEqual(["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "ERR_SSL_UNSUPPORTED_PROTOCOL"]);
    expect(service.calls).toEqual([]);
  });

  test("many clients at once are served, by HTTP/1 and by HTTP/2", async () => {
    const { port, service, refusals, failures } = await start();
    const answers = Array.from({ length: 60 }, async (_, i) => {
      if (i % 2 === 0) {
        const socket = dial({ port, ALPNProtocols: i % 4 === 0 ? ["http/1.1"] : [] });
        socket.write(request);
        return (await readAll(socket)).includes("hello");
      }
      const session = connectHttp2("https://any", { createConnection: () => dial({ port, ALPNProtocols: ["h2"] }) });
      const text = (await session.request({ ":path": "/" }).toArray()).join("");
      session.close();
      return text === "hello";
    });
    expect(new Set(await Promise.all(answers))).toEqual(new Set([true]));
    expect(service.calls.length).toBe(60);
    expect(service.calls.every(({ x }) => x.connection?.encrypted)).toBe(true);
    expect({ refusals, failures }).toEqual({ refusals: [], failures: [] });
  });

  test("a handshake that comes byte by byte is a handshake", async () => {
    const { port } = await start();
    const raw = await dialPlain(port);
    const dribbling = new Duplex({
      read() {},
      async write(chunk: Buffer, _encoding, done) {
        for (const byte of chunk) {
          raw.write(Buffer.of(byte));
          await new Promise(setImmediate);
        }
        done();
      },
    });
    raw.on("data", (chunk) => dribbling.push(chunk));
    raw.on("end", () => dribbling.push(null));
    const socket = dial({ socket: dribbling });
    socket.write(request);
    expect(await readAll(socket)).toContain("hello");
  });

  test("handshakes that are broken off leave nothing behind", async () => {
    const { port, server, empty, service } = await start();
    for (let round = 0; round < 5; round++) {
      const started = Array.from({ length: 20 }, () => dial({ port }));
      await Promise.all(started.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
      for (const [i, socket] of started.entries()) {
        if (i % 2 === 0) socket.destroy();
        else setImmediate(() => socket.destroy());
      }
      await empty();
    }
    expect([server.connections, service.calls.length]).toEqual([0, 0]);
  });

  test("a drain gives silence a second, and lets a handshake that began go on", async () => {
    const { port, server, failures, refusals } = await start();
    const silent = await dialPlain(port);
    const late = await dialPlain(port);
    const hello = await clientHello();
    late.write(hello.subarray(0, 100));
    while (server.connections < 2) await new Promise(setImmediate);
    const began = performance.now();
    const closing = server.close(2_500);
    expect(await readAll(silent)).toBe("");
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(500);
    expect(took).toBeLessThan(2_000);
    late.write(hello.subarray(100));
    const [answer] = (await once(late, "data")) as [Buffer];
    expect(answer[0]).toBe(0x16);
    late.destroy();
    await closing;
    expect({ refusals, failures }).toEqual({ refusals: [], failures: ["ECONNRESET"] });
  });

  test("sockets that others accepted are served, whatever was read of them before", async () => {
    const { server, refusals, failures, empty } = make();
    const read: ((socket: Socket) => void)[] = [
      // At once.
      (socket) => server.accept(socket),
      // Later: what came is in the stream.
      (socket) => {
        setTimeout(() => server.accept(socket), 20);
      },
      // When they were read, and put back.
      (socket) => {
        socket.once("readable", () => {
          socket.unshift(socket.read());
          server.accept(socket);
        });
      },
    ];
    const listener: Server = createServer({ allowHalfOpen: true }, (socket) => read[0]!(socket));
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    cleanups.push(() => listener.close());
    const { port } = listener.address() as { port: number };
    while (read.length > 0) {
      const socket = dial({ port });
      socket.write(request);
      expect(await readAll(socket)).toContain("hello");
      const plain = await dialPlain(port);
      plain.write(request);
      expect(await readAll(plain)).toBe("");
      const ended = await dialPlain(port);
      ended.end("\n");
      expect(await readAll(ended)).toBe("");
      await empty();
      read.shift();
    }
    expect(refusals).toEqual(new Array(3).fill("plaintext refused"));
    expect(failures).toEqual([]);
  });

  test("a socket that has come to its end before it is accepted is ended", async () => {
    const { server, empty, refusals, failures } = make({ detectTimeoutMs: 50 });
    const listener = createServer({ allowHalfOpen: true }, (socket) => {
      socket.once("end", () => server.accept(socket)).resume();
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    cleanups.push(() => listener.close());
    const socket = await dialPlain((listener.address() as { port: number }).port);
    socket.end();
    expect(await readAll(socket)).toBe("");
    await empty();
    expect({ refusals, failures }).toEqual({ refusals: [], failures: [] });
  });
});
