import { AsyncLocalStorage } from "node:async_hooks";
import { EventEmitter, once } from "node:events";
import {
  Client,
  type ClientOptions,
  credentials,
  InterceptingCall,
  type Interceptor,
  Metadata,
  makeClientConstructor,
  propagate,
  Server,
  type ServerDuplexStream,
  ServerInterceptingCall,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";
import { tcpConnect } from "../client/connect.js";
import { EndpointClient } from "../client/endpoint-client.js";
import type { Exchange, Service, Sink } from "../exchange.js";
import { transportError } from "../exchange-error.js";
import { type PlayedExchange, TestingService } from "../node/client/testing-service.js";
import { HttpServer } from "../server/http-server.js";
import { GrpcExit } from "./grpc-exit.js";
import { createGrpcChannelOptions, ServiceChannel } from "./service-channel.js";

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};

const definition = {
  unary: { path: "/t.T/Unary", requestStream: false, responseStream: false, ...text },
  down: { path: "/t.T/Down", requestStream: false, responseStream: true, ...text },
  up: { path: "/t.T/Up", requestStream: true, responseStream: false, ...text },
  both: { path: "/t.T/Both", requestStream: true, responseStream: true, ...text },
} satisfies ServiceDefinition;

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Seen {
  calls: number;
  cancelled: number;
}

/** A server of grpc-js. `unary` does what the request says. */
function startServer(name = "server", options = {}): [Server, Seen] {
  const seen: Seen = { calls: 0, cancelled: 0 };
  const server = new Server(options);
  server.addService(definition, {
    unary: (call: ServerUnaryCall<string, string>, callback: sendUnaryData<string>) => {
      seen.calls++;
      call.on("cancelled", () => {
        seen.cancelled++;
      });
      const [verb] = call.request.split(" ");
      if (verb === "hang") return;
      if (verb === "fail") {
        const trailers = new Metadata();
        trailers.set("x-detail-bin", Buffer.from([0, 255]));
        callback({ code: status.NOT_FOUND, details: "nö: 100%/", metadata: trailers });
      } else if (verb === "large") {
        callback(null, "x".repeat(3 << 20));
      } else if (verb === "who") {
        callback(null, name);
      } else {
        const head = new Metadata();
        head.set("x-head", String(call.metadata.get("x-in")[0] ?? "none"));
        call.sendMetadata(head);
        const trailers = new Metadata();
        trailers.set("x-trail", "t");
        callback(null, `echo ${call.request.length > 100 ? call.request.length : call.request}`, trailers);
      }
    },
    down: (call: ServerWritableStream<string, string>) => {
      const count = Number(call.request);
      let i = 0;
      const pump = (): void => {
        while (i < count)
          if (!call.write(`${i++} ${"x".repeat(2000)}`)) {
            call.once("drain", pump);
            return;
          }
        call.end();
      };
      call.on("cancelled", () => {
        seen.cancelled++;
      });
      pump();
    },
    up: (call: ServerReadableStream<string, string>, callback: sendUnaryData<string>) => {
      let count = 0;
      call.on("data", (value: string) => {
        count++;
        if (value === "enough") callback(null, "early");
      });
      call.on("end", () => callback(null, `got ${count}`));
    },
    both: (call: ServerDuplexStream<string, string>) => {
      call.on("data", (value: string) => call.write(`re: ${value}`));
      call.on("end", () => call.end());
    },
  });
  cleanups.push(() => server.forceShutdown());
  return [server, seen];
}

const TestClient = makeClientConstructor(definition, "t.T");

function clientOf(service: Service, options: ClientOptions = {}): InstanceType<typeof TestClient> {
  const client = new TestClient("dns:///greeter.shop:50051", credentials.createInsecure(), {
    ...createGrpcChannelOptions(service),
    ...options,
  });
  cleanups.push(() => client.close());
  return client;
}

interface Unary {
  value?: string;
  error?: ServiceError;
  head?: Metadata;
  trailers?: Metadata;
}

function unary(
  client: Client,
  request: string,
  metadata = new Metadata(),
  options = {},
): Promise<Unary> & { cancel(): void } {
  let call: { cancel(): void } | null = null;
  const done = new Promise<Unary>((resolve) => {
    const result: Unary = {};
    const made = client.makeUnaryRequest(
      "/t.T/Unary",
      text.requestSerialize,
      text.responseDeserialize,
      request,
      metadata,
      options,
      (error, value) => {
        if (error) result.error = error;
        if (value !== undefined) result.value = value;
      },
    );
    made.on("metadata", (head) => {
      result.head = head;
    });
    made.on("status", ({ metadata: trailers }) => {
      result.trailers = trailers;
      setImmediate(() => resolve(result));
    });
    call = made;
  });
  return Object.assign(done, { cancel: () => call?.cancel() });
}

/** Over sockets: a client's session, the server's, and grpc-js behind it. */
async function overSockets(exit: Service): Promise<Service> {
  const server = new HttpServer({ service: exit });
  const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
  const client = new EndpointClient(tcpConnect({ host: "127.0.0.1", port, timeoutMs: 1000, lent: true }), {
    protocol: "h2",
  });
  cleanups.push(() => {
    client.destroy();
    server.destroy();
  });
  return client;
}

function exitOf(server: Server): GrpcExit {
  const exit = new GrpcExit(server);
  cleanups.push(() => exit.destroy());
  return exit;
}

describe.each(["in memory", "over sockets"])("grpc-js on both ends, %s", (how) => {
  async function make(options: { server?: object; client?: ClientOptions } = {}): Promise<[Client, Seen]> {
    const [server, seen] = startServer("server", options.server);
    const exit = exitOf(server);
    return [clientOf(how === "in memory" ? exit : await overSockets(exit), options.client), seen];
  }

  it("unary calls carry metadata both ways", async () => {
    const [client] = await make();
    const metadata = new Metadata();
    metadata.set("x-in", "1");
    const { value, head, trailers } = await unary(client, "hello", metadata);
    expect(value).toBe("echo hello");
    expect(head?.get("x-head")).toEqual(["1"]);
    expect(trailers?.get("x-trail")).toEqual(["t"]);
  });

  it("errors keep code, details and binary metadata", async () => {
    const [client] = await make();
    const { error } = await unary(client, "fail");
    expect([error?.code, error?.details]).toEqual([status.NOT_FOUND, "nö: 100%/"]);
    expect(error?.metadata.get("x-detail-bin")).toEqual([Buffer.from([0, 255])]);
  });

  it("an unknown method is UNIMPLEMENTED", async () => {
    const [client] = await make();
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest("/t.T/Nope", text.requestSerialize, text.responseDeserialize, "", resolve);
    });
    expect(error?.code).toBe(status.UNIMPLEMENTED);
  });

  it("a deadline ends the call on both sides", async () => {
    const [client, seen] = await make();
    const { error } = await unary(client, "hang", new Metadata(), { deadline: Date.now() + 60 });
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
    while (seen.cancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const past = await unary(client, "hello", new Metadata(), { deadline: new Date(0) });
    expect(past.error?.code).toBe(status.DEADLINE_EXCEEDED);
  });

  it("cancelling ends the call on both sides", async () => {
    const [client, seen] = await make();
    const call = unary(client, "hang");
    while (seen.calls === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    call.cancel();
    expect((await call).error?.code).toBe(status.CANCELLED);
    while (seen.cancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("messages of 3 MB cross both ways, and larger ones than allowed don't", async () => {
    const [client] = await make();
    expect((await unary(client, "large")).value?.length).toBe(3 << 20);
    expect((await unary(client, "y".repeat(3 << 20))).value).toBe(`echo ${3 << 20}`);
    const [small] = await make({
      client: { "grpc.max_receive_message_length": 1 << 20, "grpc.max_send_message_length": 100 },
    });
    expect((await unary(small, "large")).error).toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
      details: `Received message larger than max (${3 << 20} vs ${1 << 20})`,
    });
    expect((await unary(small, "z".repeat(101))).error?.code).toBe(status.RESOURCE_EXHAUSTED);
  });

  it("streams from the server, read slowly", async () => {
    const [client] = await make();
    const call = client.makeServerStreamRequest("/t.T/Down", text.requestSerialize, text.responseDeserialize, "500");
    const got: number[] = [];
    for await (const value of call) {
      got.push(Number.parseInt(value as string, 10));
      if (got.length % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(got).toEqual(Array.from({ length: 500 }, (_, i) => i));
  });

  it("a stream that is cancelled while it is read ends on both sides", async () => {
    const [client, seen] = await make();
    const call = client.makeServerStreamRequest("/t.T/Down", text.requestSerialize, text.responseDeserialize, "100000");
    call.once("data", () => call.cancel());
    const [error] = (await once(call, "error")) as [ServiceError];
    expect(error.code).toBe(status.CANCELLED);
    while (seen.cancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("streams to the server, with back pressure", async () => {
    const [client] = await make();
    const answer = await new Promise((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        "/t.T/Up",
        text.requestSerialize,
        text.responseDeserialize,
        (error, value) => (error ? reject(error) : resolve(value)),
      );
      let i = 0;
      const pump = (): void => {
        while (i < 300)
          if (!call.write(`${i++} ${"x".repeat(5000)}`)) {
            call.once("drain", pump);
            return;
          }
        call.end();
      };
      pump();
    });
    expect(answer).toBe("got 300");
  });

  it("a server that answers before the client has ended is heard", async () => {
    const [client] = await make();
    const answer = await new Promise((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        "/t.T/Up",
        text.requestSerialize,
        text.responseDeserialize,
        (error, value) => (error ? reject(error) : resolve(value)),
      );
      call.write("enough");
    });
    expect(answer).toBe("early");
    expect((await unary(client, "after")).value).toBe("echo after");
  });

  it("streams both ways at once", async () => {
    const [client] = await make();
    const call = client.makeBidiStreamRequest("/t.T/Both", text.requestSerialize, text.responseDeserialize);
    const got: string[] = [];
    call.write("0");
    for await (const value of call) {
      got.push(value as string);
      if (got.length < 20) call.write(String(got.length));
      else call.end();
    }
    expect(got.length).toBe(20);
    expect(got[19]).toBe("re: 19");
  });

  it("interceptors of both sides run", async () => {
    const order: string[] = [];
    const clientInterceptor: Interceptor = (options, nextCall) =>
      new InterceptingCall(nextCall(options), {
        start: (metadata, listener, next) => {
          metadata.set("x-in", "intercepted");
          order.push("client");
          next(metadata, listener);
        },
      });
    const serverInterceptor = (_method: unknown, call: ConstructorParameters<typeof ServerInterceptingCall>[0]) => {
      order.push("server");
      return new ServerInterceptingCall(call);
    };
    const [client] = await make({
      client: { interceptors: [clientInterceptor] },
      server: { interceptors: [serverInterceptor] },
    });
    expect((await unary(client, "hello")).head?.get("x-head")).toEqual(["intercepted"]);
    expect(order).toEqual(["client", "server"]);
  });

  it("call credentials add metadata, or fail the call", async () => {
    const [client] = await make();
    const urls: string[] = [];
    const good = credentials.createFromMetadataGenerator(({ service_url }, callback) => {
      urls.push(service_url);
      const metadata = new Metadata();
      metadata.set("x-in", "token");
      callback(null, metadata);
    });
    expect((await unary(client, "hello", new Metadata(), { credentials: good })).head?.get("x-head")).toEqual([
      "token",
    ]);
    expect(urls).toEqual(["https://greeter.shop:50051/t.T"]);
    const bad = credentials.createFromMetadataGenerator((_options, callback) => callback(new Error("no token")));
    expect((await unary(client, "hello", new Metadata(), { credentials: bad })).error?.code).toBe(
      status.UNAUTHENTICATED,
    );
  });

  it("many calls at once keep their answers apart", async () => {
    const [client] = await make();
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => unary(client, `n${i}`)));
    expect(answers.map(({ value }) => value)).toEqual(answers.map((_, i) => `echo n${i}`));
  });

  it("a cancellation of the parent call reaches its child", async () => {
    const [inner, seen] = await make();
    const outer = new Server();
    outer.addService(
      { relay: { path: "/t.R/Relay", requestStream: false, responseStream: false, ...text } },
      {
        relay: (call: ServerUnaryCall<string, string>, callback: sendUnaryData<string>) => {
          unary(inner, "hang", new Metadata(), { parent: call }).then(({ error }) => callback(error ?? null));
        },
      },
    );
    cleanups.push(() => outer.forceShutdown());
    const client = clientOf(exitOf(outer));
    const call = client.makeUnaryRequest("/t.R/Relay", text.requestSerialize, text.responseDeserialize, "x", () => {});
    while (seen.calls === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    call.cancel();
    while (seen.cancelled === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

it("calls are balanced one by one over two servers", async () => {
  const services = [exitOf(startServer("one")[0]), exitOf(startServer("two")[0])];
  let next = 0;
  const balanced: Service = { call: (x: Exchange, sink: Sink) => services[next++ % 2]!.call(x, sink) };
  const client = clientOf(balanced);
  const names = [];
  for (let i = 0; i < 6; i++) names.push((await unary(client, "who")).value);
  expect(names).toEqual(["one", "two", "one", "two", "one", "two"]);
});

it("a server shuts down with the exit closed", async () => {
  const [server] = startServer();
  const exit = exitOf(server);
  const client = clientOf(exit);
  expect((await unary(client, "hello")).value).toBe("echo hello");
  await exit.close();
  await new Promise<void>((resolve, reject) => server.tryShutdown((error) => (error ? reject(error) : resolve())));
  expect((await unary(client, "hello")).error?.code).toBe(status.UNAVAILABLE);
});

describe("the client's channel", () => {
  const played = (play: (e: PlayedExchange) => void): [Client, TestingService] => {
    const service = new TestingService(play);
    return [clientOf(service), service];
  };

  it("sends what gRPC over HTTP/2 asks for", async () => {
    const [client, service] = played((e) => e.respond(200, ["content-type", "application/grpc", "grpc-status", "0"]));
    const metadata = new Metadata();
    metadata.set("data-bin", Buffer.from([1, 2, 3]));
    metadata.set("te", "gzip");
    await unary(client, "hi", metadata, { deadline: Date.now() + 5000 });
    const { x } = service.last;
    expect([x.method, x.path, x.authority, x.version]).toEqual(["POST", "/t.T/Unary", "greeter.shop:50051", "2.0"]);
    expect(service.last.header("te")).toBe("trailers");
    expect(service.last.header("data-bin")).toBe("AQID");
    expect(service.last.header("grpc-timeout")).toMatch(/^(4\d{3}|5000)m$/);
    expect(Buffer.concat(service.last.received)).toEqual(Buffer.from("\0\0\0\0\x02hi"));
    expect(service.last.receivedEnd).toBe(true);
  });

  it.each([
    [404, status.UNIMPLEMENTED],
    [401, status.UNAUTHENTICATED],
    [503, status.UNAVAILABLE],
    [400, status.INTERNAL],
    [500, status.UNKNOWN],
  ])("gives HTTP status %i a gRPC status", async (httpStatus, code) => {
    const [client] = played((e) =>
      e.respond(httpStatus, ["content-type", "text/html"], "<html>this is no gRPC message</html>"),
    );
    expect((await unary(client, "hi")).error?.code).toBe(code);
  });

  it("says what is missing or wrong in a response", async () => {
    const grpc = ["content-type", "application/grpc"];
    const cases: [(e: PlayedExchange) => void, status][] = [
      [(e) => e.respond(200, grpc), status.UNKNOWN],
      [(e) => e.respond(200, ["content-type", "text/html"], "<html>"), status.UNKNOWN],
      [(e) => e.respond(200, [...grpc, "grpc-status", "99"]), status.UNKNOWN],
      [(e) => e.respond(200, [...grpc, "grpc-status", "x"]), status.UNKNOWN],
      [(e) => e.respond(200, grpc, Buffer.from("\x01\0\0\0\x01z")), status.INTERNAL],
      [
        (e) => {
          e.head(200, grpc);
          e.data(Buffer.from("\0\0\0\0\x09part"));
          e.end(["grpc-status", "0"]);
        },
        status.INTERNAL,
      ],
      [(e) => e.fail(transportError("SELVAGE_ERR_CONNECT", "no route")), status.UNAVAILABLE],
      [(e) => e.fail(transportError("SELVAGE_ERR_PROTOCOL", "nonsense")), status.INTERNAL],
    ];
    for (const [play, code] of cases) expect((await unary(played(play)[0], "hi")).error?.code).toBe(code);
  });

  it("gives the messages before the error that follows them", async () => {
    const [client] = played((e) => {
      e.head(200, ["content-type", "application/grpc"]);
      e.data(Buffer.from("\0\0\0\0\x01a\0\0\0\0\x01b\0\0\0\0\0"));
      e.end(["grpc-status", "13", "grpc-message", "broken%20off"]);
    });
    const call = client.makeServerStreamRequest("/t.T/Down", text.requestSerialize, text.responseDeserialize, "");
    const got: string[] = [];
    call.on("data", (value: string) => got.push(value));
    const [error] = (await once(call, "error")) as [ServiceError];
    expect(got).toEqual(["a", "b", ""]);
    expect([error.code, error.details]).toEqual([status.INTERNAL, "broken off"]);
  });

  it("reads messages that come byte by byte, and asks for no more than is read", async () => {
    const [client, service] = played((e) => e.head(200, ["content-type", "application/grpc"]));
    const call = client.makeServerStreamRequest("/t.T/Down", text.requestSerialize, text.responseDeserialize, "");
    await new Promise((resolve) => setImmediate(resolve));
    for (const byte of Buffer.from("\0\0\0\0\x03abc")) service.last.data(Buffer.of(byte));
    for (let i = 0; i < 100; i++) service.last.data(Buffer.from("\0\0\0\0\x01x"));
    expect(service.last.paused).toBe(true);
    call.on("error", () => {});
    expect(((await once(call, "data")) as [string])[0]).toBe("abc");
    while (service.last.paused) await new Promise((resolve) => setImmediate(resolve));
    service.last.end(["grpc-status", "0"]);
    await once(call, "end");
  });

  it("keeps the context of the one who called", async () => {
    const storage = new AsyncLocalStorage<number>();
    const [client, service] = played(() => {});
    const seen: unknown[] = [];
    storage.run(7, () => {
      client.makeUnaryRequest("/t.T/Unary", text.requestSerialize, text.responseDeserialize, "", () =>
        seen.push(storage.getStore()),
      );
    });
    await new Promise((resolve) => setImmediate(resolve));
    service.last.head(200, ["content-type", "application/grpc"]);
    service.last.data(Buffer.from("\0\0\0\0\x01x"));
    service.last.end(["grpc-status", "0"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([7]);
  });

  it("takes the earlier deadline of the parent call, unless told not to", async () => {
    const parent = Object.assign(new EventEmitter(), { getDeadline: () => Date.now() + 5000 });
    for (const [flags, header] of [
      [null, /^(4\d{3}|5000)m$/],
      [propagate.DEFAULTS & ~propagate.DEADLINE, /^[56]\dS$|^\d{5}m$/],
    ] as const) {
      const service = new TestingService(() => {});
      const channel = new ServiceChannel(service, "greeter.shop");
      const call = channel.createCall("/t.T/Unary", Date.now() + 60_000, null, parent as never, flags);
      call.start(new Metadata(), { onReceiveMetadata() {}, onReceiveMessage() {}, onReceiveStatus() {} });
      await new Promise((resolve) => setImmediate(resolve));
      expect(service.last.header("grpc-timeout")).toMatch(header);
      call.cancelWithStatus(status.CANCELLED, "done");
    }
    expect(parent.listenerCount("cancelled")).toBe(0);
  });

  it("is ready until it is closed", async () => {
    const channel = new ServiceChannel(new TestingService(() => {}), "ipv4:10.0.0.1:50051");
    const client = new Client("unused", credentials.createInsecure(), { channelOverride: channel });
    await new Promise<void>((resolve, reject) =>
      client.waitForReady(Date.now() + 1000, (error) => (error ? reject(error) : resolve())),
    );
    const watched = new Promise((resolve) => channel.watchConnectivityState(2, Date.now() + 60_000, resolve));
    client.close();
    await watched;
    expect(() =>
      client.makeUnaryRequest("/a/b", text.requestSerialize, text.responseDeserialize, "", () => {}),
    ).toThrow("Channel has been shut down");
    expect(() => new ServiceChannel(new TestingService(() => {}), "unix:/a/b")).toThrow("target must be an authority");
  });
});
