import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../clock.js";
import type { Connection, Exchange } from "../exchange.js";
import { transportError } from "../exchange-error.js";
import { resolveHttp2 } from "../h2/limits.js";
import { ServerSession } from "../h2/server-session.js";
import { HttpServer } from "../server/http-server.js";
import type { HttpServerOptions } from "../server/http-server-options.js";
import { duplexPair } from "../testing/duplex-pair.js";
import { RecordingSink } from "../testing/recording-sink.js";
import { ScriptedService } from "../testing/scripted-service.js";
import { TestBody } from "../testing/test-body.js";
import { exchange } from "../testing/test-exchange.js";
import { type Connect, tcpConnect } from "./connect.js";
import { EndpointClient } from "./endpoint-client.js";
import type { EndpointClientOptions, EndpointListener } from "./endpoint-client-options.js";

const cleanups: (() => unknown)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function serve(service: ScriptedService, options: Partial<HttpServerOptions> = {}) {
  const server = new HttpServer({ service, restoreHttp1: () => true, ...options });
  cleanups.push(() => server.destroy());
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  return { server, port, connect: tcpConnect({ host: "127.0.0.1", port, timeoutMs: 1_000, lent: true }) };
}

function clientOf(connect: Connect, options: Partial<EndpointClientOptions> = {}): EndpointClient {
  const client = new EndpointClient(connect, { protocol: "h2", ...options });
  cleanups.push(() => client.destroy());
  return client;
}

function send(client: EndpointClient, x: Exchange = exchange()): RecordingSink {
  const sink = new RecordingSink();
  client.call(x, sink);
  return sink;
}

/** A `Connect` that counts, and whose attempts a test may hold or fail. */
class CountingConnect {
  attempts = 0;
  readonly sockets: Duplex[] = [];
  failWith: ReturnType<typeof transportError> | null = null;
  readonly #inner: Connect;

  constructor(inner: Connect) {
    this.#inner = inner;
  }

  readonly connect: Connect = (callback) => {
    this.attempts++;
    const { failWith } = this;
    if (failWith !== null) {
      queueMicrotask(() => callback(failWith, null, 0));
      return () => {};
    }
    return this.#inner((error, socket, expiresAt) => {
      if (socket !== null) this.sockets.push(socket);
      callback(error, socket, expiresAt);
    });
  };
}

const refused = () => transportError("SELVAGE_ERR_CONNECT", "refused by the test", "peer", "unsent");

/** Resolves when the client is in a state. */
function stateWatch() {
  const states: string[] = [];
  let wake: () => void = () => {};
  const listener: EndpointListener = {
    onState: (state) => {
      states.push(state);
      wake();
    },
  };
  const reached = async (state: string) => {
    while (states.at(-1) !== state) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { states, listener, reached };
}

describe.each(["h2", "h1"] as const)("%s", (protocol) => {
  test("requests reach the service and their responses come back", async () => {
    const service = new ScriptedService((call) => {
      call.body.then((body) => call.answer({ status: 201, headers: ["a", "b"], body: `got ${body}` }));
      return null;
    });
    const { connect } = await serve(service);
    const client = clientOf(connect, { protocol });
    const sink = await send(client, exchange({ method: "POST", path: "/x?y", body: "data" })).done;
    expect([sink.error, sink.status, sink.header("a"), sink.text]).toEqual([null, 201, "b", "got data"]);
    expect(sink.violations).toEqual([]);
    expect(service.calls[0]?.x).toMatchObject({ method: "POST", path: "/x?y", authority: "test.example" });
    expect([client.active, client.pending, client.state]).toEqual([0, 0, "ready"]);
  });

  test("requests wait for the connection, and aborting takes one out", async () => {
    const service = new ScriptedService({ body: "x" });
    const { connect } = await serve(service);
    const client = clientOf(connect, { protocol });
    const xs = [exchange({ path: "/0" }), exchange({ path: "/1" }), exchange({ path: "/2" })];
    const sinks = xs.map((x) => send(client, x));
    expect([client.pending, client.state]).toEqual([3, "connecting"]);
    const reason = transportError("SELVAGE_ERR_ABORTED", "enough", "caller", "unsent");
    xs[1]!.flow.abort(reason);
    expect(sinks[1]?.error).toBe(reason);
    await Promise.all(sinks.map((sink) => sink.done));
    expect(service.calls.map((call) => call.x.path).sort()).toEqual(["/0", "/2"]);
  });

  test("more than may wait fail with an overflow", async () => {
    const { connect } = await serve(new ScriptedService());
    const client = clientOf(connect, { protocol, maxPending: 2 });
    const sinks = [send(client), send(client), send(client)];
    expect(sinks[2]?.error).toMatchObject({ code: "SELVAGE_ERR_OVERFLOW", progress: "unsent", origin: "local" });
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.status)).toEqual([200, 200, 0]);
  });

  test("a failed attempt fails those that wait as unsent, later ones at once, and the next attempt heals", async () => {
    const { connect } = await serve(new ScriptedService());
    const counting = new CountingConnect(connect);
    counting.failWith = refused();
    const watch = stateWatch();
    const client = clientOf(counting.connect, {
      protocol,
      listener: watch.listener,
      backoff: { minMs: 30, maxMs: 40, jitter: 0 },
    });
    const body = new TestBody();
    const sinks = [send(client, exchange({ body })), send(client)];
    await Promise.all(sinks.map((sink) => sink.done));
    expect(sinks.map((sink) => sink.error)).toEqual([counting.failWith, counting.failWith]);
    expect([body.piped, body.cancelled]).toEqual([false, false]);
    expect(client.state).toBe("failing");
    const { attempts } = counting;
    expect(send(client).error).toBe(counting.failWith);
    expect(counting.attempts).toBe(attempts);
    counting.failWith = null;
    if (protocol === "h1") await new Promise((resolve) => setTimeout(resolve, 45));
    else await watch.reached("ready");
    expect((await send(client).done).status).toBe(200);
  });

  test("a peer that accepts and says nothing ends in a connect timeout", async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket));
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    cleanups.push(() => silent.close());
    const never: Connect = () => () => {};
    const { port } = silent.address() as { port: number };
    const connect = protocol === "h2" ? tcpConnect({ host: "127.0.0.1", port, timeoutMs: 1_000, lent: true }) : never;
    const client = clientOf(connect, { protocol, connectTimeoutMs: 40 });
    const sink = await send(client).done;
    expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_CONNECT_TIMEOUT", progress: "unsent", status: 504 });
    for (const socket of sockets) socket.destroy();
  });

  test("after close, what is under way finishes and nothing new is taken", async () => {
    const service = new ScriptedService(null);
    const { connect, server } = await serve(service);
    const client = clientOf(connect, { protocol });
    const sink = send(client);
    const call = await service.next();
    let closed = false;
    const closing = client.close().then(() => {
      closed = true;
    });
    expect(send(client).error).toMatchObject({ code: "SELVAGE_ERR_CLOSED", progress: "unsent", origin: "local" });
    expect(closed).toBe(false);
    call.answer({ body: "end" });
    expect((await sink.done).text).toBe("end");
    await closing;
    while (server.connections > 0) await new Promise(setImmediate);
  });

  test("close serves those that still wait", async () => {
    const { connect } = await serve(new ScriptedService({ body: "x" }));
    const client = clientOf(connect, { protocol });
    const sinks = [send(client), send(client)];
    await client.close();
    expect(sinks.map((sink) => sink.text)).toEqual(["x", "x"]);
  });

  test("destroy ends everything at once", async () => {
    const service = new ScriptedService(null);
    const { connect } = await serve(service);
    const client = clientOf(connect, { protocol });
    const sink = send(client);
    const call = await service.next();
    client.destroy();
    expect(sink.error?.code).toBe("SELVAGE_ERR_CLOSED");
    // The server of HTTP/1 takes the end of the connection for the end of the request only, and goes on.
    if (protocol === "h1") call.answer({});
    else while (call.aborted === null) await new Promise(setImmediate);
    await client.close();
  });

  test("a killed connection fails what was on it as processed, and the next request finds a new one", async () => {
    const service = new ScriptedService((call) => (call.x.path === "/hang" ? null : { body: "ok" }));
    const { connect, server } = await serve(service);
    const counting = new CountingConnect(connect);
    const client = clientOf(counting.connect, { protocol });
    await send(client).done;
    const hanging = send(client, exchange({ path: "/hang" }));
    await service.next();
    await service.next();
    server.forEachConnection((c) => {
      c.destroy();
    });
    expect((await hanging.done).error).toMatchObject({ progress: "processed" });
    expect((await send(client).done).text).toBe("ok");
    expect(counting.attempts).toBe(2);
  });

  test("connections that are idle close, and no timer or socket stays", async () => {
    const { connect, server } = await serve(new ScriptedService());
    const client = clientOf(connect, { protocol, idleTimeoutMs: 40, http1IdleTimeoutMs: 40 });
    await send(client).done;
    expect(server.connections).toBe(1);
    while (server.connections > 0) await new Promise(setImmediate);
    expect(client.state).toBe("idle");
    expect((await send(client).done).status).toBe(200);
  });

  test("a connection ends before it expires, and nothing fails meanwhile", async () => {
    const service = new ScriptedService();
    const { connect } = await serve(service);
    const counting = new CountingConnect((callback) =>
      connect((error, socket) => callback(error, socket, Date.now() + 400)),
    );
    const client = clientOf(counting.connect, { protocol });
    const until = Date.now() + 900;
    let failures = 0;
    while (Date.now() < until) {
      const sink = await send(client).done;
      if (sink.error !== null) failures++;
    }
    expect(failures).toBe(0);
    expect(counting.attempts).toBeGreaterThan(2);
    expect(counting.sockets[0]?.destroyed).toBe(true);
  });

  test("a connection that drains past the time to replace it ends once, and close resolves", async () => {
    const service = new ScriptedService(null);
    const { connect } = await serve(service);
    let opened = 0;
    const short: Connect = (callback) =>
      connect((error, socket) => callback(error, socket, Date.now() + (opened++ === 0 ? 800 : 60_000)));
    const client = clientOf(short, { protocol });
    const first = send(client, exchange({ path: "/first" }));
    const long = await service.next();
    client.refresh();
    const second = send(client, exchange({ path: "/second" }));
    (await service.next()).answer({ body: "x" });
    await second.done;
    // Between the time to replace the first and its end.
    await new Promise((resolve) => setTimeout(resolve, 500));
    long.answer({ body: "late" });
    await first.done;
    await client.close();
    expect([client.active, client.pending]).toEqual([0, 0]);
  });

  test("refresh forgets how attempts to connect went with what was shown before", async () => {
    const { connect } = await serve(new ScriptedService({ body: "x" }));
    const counting = new CountingConnect(connect);
    counting.failWith = transportError("SELVAGE_ERR_TLS", "your certificate has expired", "peer", "unsent");
    const client = clientOf(counting.connect, { protocol, backoff: { minMs: 60_000, maxMs: 60_000 } });
    await send(client).done;
    counting.failWith = null;
    expect((await send(client).done).error).toMatchObject({ code: "SELVAGE_ERR_TLS" });
    client.refresh();
    expect((await send(client).done).status).toBe(200);
    expect(counting.attempts).toBe(2);
  });

  test("refresh under load loses nothing and leaves the old connections", async () => {
    const service = new ScriptedService((call) => {
      setImmediate(() => call.answer({ body: "x" }));
      return null;
    });
    const { connect, server } = await serve(service);
    const counting = new CountingConnect(connect);
    const client = clientOf(counting.connect, { protocol });
    let failures = 0;
    let done = 0;
    const worker = async () => {
      while (done < 600) {
        const sink = await send(client).done;
        done++;
        if (sink.error !== null) failures++;
        if (done % 200 === 100) client.refresh();
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    expect(failures).toBe(0);
    expect(counting.sockets[0]?.destroyed || counting.sockets[0]?.writableEnded).toBe(true);
    expect(server.connections).toBeLessThanOrEqual(protocol === "h2" ? 2 : 40);
  });

  test("a server that drains under load loses nothing", async () => {
    const service = new ScriptedService((call) => {
      setImmediate(() => call.answer({ body: "x" }));
      return null;
    });
    const { connect, server } = await serve(service);
    const client = clientOf(connect, { protocol });
    const outcomes: (string | undefined)[] = [];
    let drained = 0;
    const worker = async () => {
      while (outcomes.length < 600) {
        const sink = await send(client).done;
        outcomes.push(sink.error?.message);
        if (outcomes.length % 200 === 100 && drained < 3) {
          drained++;
          server.forEachConnection((c) => {
            c.drain();
          });
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    expect(outcomes.filter((message) => message !== undefined)).toEqual([]);
    expect(drained).toBe(3);
  });
});

test("HTTP/1 comes out of HTTP/2 as what it was", async () => {
  const service = new ScriptedService({ body: "x" });
  const { connect } = await serve(service);
  const client = clientOf(connect, { carryHttp1: true });
  const x = exchange({ version: "1.0", headers: { host: "other.example", "x-a": "1" }, absoluteForm: true });
  await send(client, x).done;
  await send(client, exchange({ version: "2.0" })).done;
  const [first, second] = service.calls.map((call) => call.x);
  expect(first).toMatchObject({ version: "1.0", absoluteForm: true, connection: { protocol: "http/2" } });
  expect(first?.headers).toEqual(["host", "other.example", "x-a", "1"]);
  expect(second?.version).toBe("2.0");
});

test("HTTP/1 that isn't believed stays HTTP/2", async () => {
  const service = new ScriptedService({ body: "x" });
  const { connect } = await serve(service, { restoreHttp1: () => false });
  await send(clientOf(connect, { carryHttp1: true })).done;
  expect(service.calls[0]?.x.version).toBe("2.0");
});

test("tunnels take an HTTP/1 connection of their own, also to a peer that speaks HTTP/2", async () => {
  const service = new ScriptedService({
    status: 101,
    headers: ["connection", "upgrade", "upgrade", "echo"],
    echo: true,
  });
  const { connect } = await serve(service);
  const client = clientOf(connect, { carryHttp1: true });
  const body = new TestBody();
  const x = exchange({ tunnel: true, headers: { connection: "upgrade", upgrade: "echo" }, body });
  const sink = send(client, x);
  await sink.head;
  expect(sink.status).toBe(101);
  body.push("through");
  await sink.received(7);
  expect(sink.text).toBe("through");
  expect([client.active, client.state]).toEqual([1, "idle"]);
  body.end();
  await sink.done;
  expect([sink.ended, sink.error]).toEqual([true, null]);
  expect(service.calls[0]?.x.connection?.protocol).toBe("http/1");
});

test("a full session makes another, up to the limit, and beyond that exchanges wait", async () => {
  const service = new ScriptedService(null);
  const { connect, server } = await serve(service, { http2: { maxConcurrentStreams: 2 } });
  const client = clientOf(connect, { maxSessions: 2 });
  const sinks = Array.from({ length: 6 }, () => send(client));
  for (let i = 0; i < 4; i++) await service.next();
  expect([server.connections, client.active, client.pending]).toEqual([2, 4, 2]);
  service.calls[0]?.answer({ body: "x" });
  service.calls[3]?.answer({ body: "x" });
  await service.next();
  await service.next();
  for (const call of service.calls) call.answer({ body: "x" });
  await Promise.all(sinks.map((sink) => sink.done));
  expect(sinks.map((sink) => sink.error)).toEqual([null, null, null, null, null, null]);
});

test("a lost session that was in use is made again before anybody asks", async () => {
  const { connect, server } = await serve(new ScriptedService());
  const watch = stateWatch();
  const client = clientOf(connect, { listener: watch.listener });
  await send(client).done;
  server.forEachConnection((c) => {
    c.destroy();
  });
  await watch.reached("connecting");
  await watch.reached("ready");
  expect(watch.states).toEqual(["connecting", "ready", "connecting", "ready"]);
});

test("a peer that hangs up on every new session isn't dialled in a loop", async () => {
  const { connect } = await serve(new ScriptedService(), { onConnection: () => false });
  const counting = new CountingConnect(connect);
  const client = clientOf(counting.connect, { backoff: { minMs: 10_000, maxMs: 10_000 } });
  const sink = await send(client).done;
  expect(sink.error).toMatchObject({ code: "SELVAGE_ERR_CONNECT", progress: "unsent" });
  for (let i = 0; i < 100; i++) expect(send(client).error).toBe(sink.error);
  await new Promise(setImmediate);
  expect(counting.attempts).toBe(1);
});

test("warm connects without a request", async () => {
  const { connect } = await serve(new ScriptedService());
  for (const protocol of ["h2", "h1"] as const) {
    const watch = stateWatch();
    clientOf(connect, { protocol, listener: watch.listener }).warm();
    await watch.reached("ready");
    expect(watch.states).toEqual(["connecting", "ready"]);
  }
});

test("HTTP/1 connections are used again, the last one first", async () => {
  const service = new ScriptedService(null);
  const { connect, server } = await serve(service);
  const client = clientOf(connect, { protocol: "h1" });
  const both = [send(client), send(client)];
  const calls = [await service.next(), await service.next()];
  const ports = calls.map((call) => call.x.connection?.remotePort);
  calls[0]!.answer({ body: "x" });
  await Promise.race(both.map((sink) => sink.done));
  calls[1]!.answer({ body: "x" });
  await Promise.all(both.map((sink) => sink.done));
  const again = send(client);
  const third = await service.next();
  third.answer({ body: "x" });
  await again.done;
  expect(third.x.connection?.remotePort).toBe(ports[1]);
  expect(server.connections).toBe(2);
});

test("refresh ends every idle HTTP/1 connection", async () => {
  const service = new ScriptedService(null);
  const { connect, server } = await serve(service);
  const client = clientOf(connect, { protocol: "h1" });
  const sinks = [send(client), send(client), send(client)];
  for (let i = 0; i < 3; i++) await service.next();
  for (const call of service.calls) call.answer({ body: "x" });
  await Promise.all(sinks.map((sink) => sink.done));
  expect(server.connections).toBe(3);
  client.refresh();
  while (server.connections > 0) await new Promise(setImmediate);
  expect(client.state).toBe("idle");
});

test("a session whose peer takes no bytes for a while gets company", async () => {
  const service = new ScriptedService({ body: "x" });
  const connections: Duplex[] = [];
  const connect: Connect = (callback) => {
    const [ours, theirs] = duplexPair();
    connections.push(theirs);
    const connection: Connection = {
      ...{ socket: theirs, remoteAddress: "", remotePort: 0, localAddress: "", localPort: 0 },
      ...{ encrypted: false, protocol: "http/2", context: null, drain() {}, destroy() {} },
    };
    new ServerSession(theirs, connection, service, resolveHttp2(), { onClosed() {} });
    queueMicrotask(() => callback(null, ours, Number.POSITIVE_INFINITY));
    return () => {};
  };
  let now = 1_000;
  const client = clientOf(connect, { clock: { ...systemClock, now: () => now }, maxSessions: 2 });
  await send(client).done;
  connections[0]!.pause();
  const stuck = send(client, exchange({ body: Buffer.alloc(200_000) }));
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  send(client);
  expect(connections.length).toBe(1);
  now += 100;
  send(client);
  expect(connections.length).toBe(2);
  // Until the second is ready they go on to the first, where they are stuck.
  const later: RecordingSink[] = [];
  while (!later.some((sink) => sink.status === 200)) {
    later.push(send(client));
    await new Promise(setImmediate);
  }
  expect(stuck.status).toBe(0);
});

test("HTTP/1.0, and requests without an authority, get a connection of their own", async () => {
  const service = new ScriptedService({ body: "x" });
  const { connect } = await serve(service);
  const client = clientOf(connect, { protocol: "h1" });
  await send(client).done;
  await send(client, exchange({ version: "1.0" })).done;
  await send(client, exchange({ version: "1.0", authority: "" })).done;
  await send(client).done;
  const ports = service.calls.map((call) => call.x.connection?.remotePort);
  expect(new Set(ports).size).toBe(3);
  expect(ports[3]).toBe(ports[0]);
});

test("HTTP/1 connections beyond the limit aren't made; exchanges wait for one", async () => {
  const service = new ScriptedService(null);
  const { connect, server } = await serve(service);
  const client = clientOf(connect, { protocol: "h1", maxHttp1Connections: 2 });
  const sinks = Array.from({ length: 5 }, () => send(client));
  await service.next();
  await service.next();
  expect([server.connections, client.active, client.pending]).toEqual([2, 2, 3]);
  service.calls[0]?.answer({ body: "x" });
  for (let i = 0; i < 3; i++) (await service.next()).answer({ body: "x" });
  service.calls[1]?.answer({ body: "x" });
  await Promise.all(sinks.map((sink) => sink.done));
  expect(sinks.map((sink) => sink.error)).toEqual([null, null, null, null, null]);
});

test.each([
  [{ protocol: "h3" as "h2" }, 'client.protocol is h3; give "h2", "h1" or "alpn"'],
  [{ protocol: "alpn" as const }, 'client.connectHttp1 goes with client.protocol "alpn"'],
  [{ maxSessions: 0 }, "client.maxSessions is 0; give a number from 1 to 1000"],
  [{ connectTimeoutMs: Number.NaN }, "client.connectTimeoutMs is NaN"],
  [{ backoff: { minMs: -1 } }, "client.backoff.minMs must be between"],
])("%j is refused", (options, message) => {
  expect(() => new EndpointClient(() => () => {}, { protocol: "h2", ...options })).toThrow(message);
});
