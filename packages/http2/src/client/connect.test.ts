import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ExchangeError, transportError } from "../exchange-error.js";
import { hasOpenssl, TestAuthority, type TestSvid } from "../server/fixtures/test-authority.js";
import { type Connect, tcpConnect, tlsConnect } from "./connect.js";

const servers: Server[] = [];
const sockets: Socket[] = [];

async function listen<S extends Server>(server: S): Promise<number> {
  servers.push(server);
  server.on("connection", (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

interface Outcome {
  error: ExchangeError | null;
  socket: Duplex | null;
  expiresAt: number;
}

const open = (connect: Connect): Promise<Outcome> =>
  new Promise((resolve) => {
    connect((error, socket, expiresAt) => {
      if (socket !== null) sockets.push(socket as Socket);
      resolve({ error, socket, expiresAt });
    });
  });

const at = (port: number) => ({ host: "127.0.0.1", port, timeoutMs: 2_000 });

test("a plain connection is handed over once it's open", async () => {
  const port = await listen(createServer((socket) => socket.end("hi")));
  const { error, socket, expiresAt } = await open(tcpConnect(at(port)));
  expect([error, expiresAt]).toEqual([null, Number.POSITIVE_INFINITY]);
  expect(String((await once(socket!, "data"))[0])).toBe("hi");
});

test("nothing listens: unsent, and the callback doesn't come from inside connect", async () => {
  const server = createServer();
  const port = await listen(server);
  server.close();
  const { error } = await open(tcpConnect(at(port)));
  expect(error).toMatchObject({ code: "SELVAGE_ERR_CONNECT", progress: "unsent" });
  let inside = true;
  const later = new Promise<boolean>((resolve) => {
    tcpConnect({ host: "127.0.0.1", port: 99_999, timeoutMs: 100 })(() => resolve(inside));
  });
  inside = false;
  expect(await later).toBe(false);
});

test("a peer that never answers the handshake ends in a connect timeout", async () => {
  const port = await listen(createServer());
  const { error } = await open(tlsConnect({ ...at(port), timeoutMs: 50, tls: () => ({ rejectUnauthorized: false }) }));
  expect(error).toMatchObject({ code: "SELVAGE_ERR_CONNECT_TIMEOUT", progress: "unsent" });
});

test("a cancelled attempt never calls back and leaves no socket", async () => {
  const server = createServer();
  const port = await listen(server);
  const accepted = once(server, "connection");
  const calls: unknown[] = [];
  const cancel = tlsConnect({ ...at(port), tls: () => ({ rejectUnauthorized: false }) })((error) => calls.push(error));
  const [socket] = (await accepted) as [Socket];
  socket.resume();
  const closed = once(socket, "close");
  cancel();
  cancel();
  await closed;
  expect(calls).toEqual([]);
});

test("a handed-over socket that breaks doesn't end the process", async () => {
  const port = await listen(createServer((socket) => socket.once("data", () => socket.resetAndDestroy())));
  const { socket } = await open(tcpConnect(at(port)));
  const failed = once(socket!, "error");
  socket!.write("x");
  expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  socket!.emit("error", new Error("another, for which no test listens"));
});

describe.runIf(hasOpenssl)("TLS", () => {
  let authority: TestAuthority;
  let other: TestAuthority;
  let server: TestSvid;
  let client: TestSvid;

  beforeAll(() => {
    authority = new TestAuthority("one");
    other = new TestAuthority("other");
    server = authority.issue("spiffe://test.example/server");
    client = authority.issue("spiffe://test.example/client");
  });

  afterAll(() => {
    authority.dispose();
    other.dispose();
  });

  const listenTls = (onSocket: (socket: TLSSocket) => void = () => {}) => {
    const options = { ...server, ca: authority.cert, requestCert: true, minVersion: "TLSv1.3" } as const;
    const tls = createTlsServer(options, (socket) => {
      socket.on("error", () => {});
      onSocket(socket);
    });
    tls.on("tlsClientError", () => {});
    return listen(tls);
  };
  const options = (more: ConnectionOptions = {}): ConnectionOptions => ({
    ...client,
    ca: authority.cert,
    checkServerIdentity: () => undefined,
    ...more,
  });

  test("verified connections come with their expiry, and the options are asked for each", async () => {
    const port = await listenTls();
    let asked = 0;
    const connect = tlsConnect({
      ...at(port),
      tls: () => {
        asked++;
        return options();
      },
      verify: (socket) => (socket.authorized ? null : transportError("SELVAGE_ERR_TLS", "no", "peer", "unsent")),
      expiresAt: (socket) => Date.parse(socket.getPeerCertificate().valid_to),
    });
    const first = await open(connect);
    const second = await open(connect);
    expect([first.error, second.error, asked]).toEqual([null, null, 2]);
    expect(first.expiresAt).toBeGreaterThan(Date.now());
  });

  test("an untrusted server, a refusing verify and one that throws all end in a TLS error", async () => {
    const port = await listenTls();
    const refusal = transportError("SELVAGE_ERR_TLS", "wrong identity", "peer", "unsent");
    const outcomes = await Promise.all([
      open(tlsConnect({ ...at(port), tls: () => options({ ca: other.cert }) })),
      open(tlsConnect({ ...at(port), tls: () => options(), verify: () => refusal })),
      open(
        tlsConnect({
          ...at(port),
          tls: () => options(),
          verify: () => {
            throw Object.assign(new Error("boom"), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
          },
        }),
      ),
    ]);
    expect(outcomes.map(({ error }) => [error?.code, error?.progress])).toEqual([
      ["SELVAGE_ERR_TLS", "unsent"],
      ["SELVAGE_ERR_TLS", "unsent"],
      ["SELVAGE_ERR_TLS", "unsent"],
    ]);
    expect(outcomes[1]!.error).toBe(refusal);
  });

  test("no identity yet is a local TLS error, and so are options that Node can't use", async () => {
    const port = await listenTls();
    const none = await open(
      tlsConnect({
        ...at(port),
        tls: () => {
          throw new Error("no SVID yet");
        },
      }),
    );
    const bad = await open(tlsConnect({ ...at(port), tls: () => ({ key: "x", cert: "y" }) }));
    for (const { error } of [none, bad]) {
      expect(error).toMatchObject({ code: "SELVAGE_ERR_TLS", origin: "local", progress: "unsent" });
    }
    expect(none.error?.message).toContain("no SVID yet");
  });

  test("sessions are never resumed, even when the options hold one", async () => {
    const resumed: boolean[] = [];
    const port = await listenTls((socket) => {
      resumed.push(socket.isSessionReused());
      socket.write("x");
    });
    const { socket } = await open(tlsConnect({ ...at(port), tls: () => options() }));
    const [session] = (await once(socket!, "session")) as [Buffer];
    const { socket: again } = await open(tlsConnect({ ...at(port), tls: () => options({ session }) }));
    await once(again!, "data");
    expect(resumed).toEqual([false, false]);
  });

  test("a plaintext server is told as such", async () => {
    const port = await listen(createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
    const { error } = await open(tlsConnect({ ...at(port), tls: () => options() }));
    expect(error?.code).toBe("SELVAGE_ERR_TLS");
    expect(error?.message).toContain("does not speak TLS");
  });
});
