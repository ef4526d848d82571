import { mkdtempSync, rmSync } from "node:fs";
import type { Server as HttpServer, RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Client,
  type ClientOptions,
  credentials,
  InterceptingCall,
  Metadata,
  makeClientConstructor,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceError,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type CreateMeshOptions, createMesh, type Mesh, peerOf } from "../mesh/mesh.js";
import { grpcChannel } from "./grpc-channel.js";
import { peerOfCall } from "./peer-of-call.js";
import { serveGrpc } from "./serve-grpc.js";

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};
const say = { path: "/shop.Greeter/Say", requestStream: false, responseStream: false, ...text } as const;
const Greeter = makeClientConstructor({ say }, "shop.Greeter");

let stateDir: string;
let stops: (() => unknown)[];

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), "grpc-"));
  stops = [];
});

afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  rmSync(stateDir, { recursive: true, force: true });
});

async function joinMesh(name: string, options: CreateMeshOptions = {}): Promise<Mesh> {
  const mesh = await createMesh({ workload: { name }, stateDir, admin: false, drain: { timeout: "2s" }, ...options });
  stops.push(() => mesh.close());
  return mesh;
}

type Handler = (call: ServerUnaryCall<string, string>, callback: sendUnaryData<string>) => void;

function grpcServer(handler: Handler): Server {
  const server = new Server();
  server.addService({ say }, { say: handler });
  stops.push(() => server.forceShutdown());
  return server;
}

async function startGreeter(handler: Handler, listener?: RequestListener): Promise<{ mesh: Mesh; http: HttpServer }> {
  const mesh = await joinMesh("greeter");
  const http = serveGrpc(mesh, grpcServer(handler), listener);
  await listening(http);
  return { mesh, http };
}

function listening(server: HttpServer): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function clientOf(mesh: Mesh, options?: ClientOptions): Client {
  const client = new Greeter(...grpcChannel(mesh, "greeter", options));
  stops.push(() => client.close());
  return client;
}

function call(client: Client, what: string, metadata = new Metadata()): Promise<string> {
  return new Promise((resolve) =>
    client.makeUnaryRequest(
      say.path,
      say.requestSerialize,
      say.responseDeserialize,
      what,
      metadata,
      (error: ServiceError | null, value?: string) =>
        resolve(error === null ? (value ?? "") : `${status[error.code]}: ${error.details}`),
    ),
  );
}

const named: Handler = (call, callback) => callback(null, `hello ${call.request}, you are ${peerOfCall(call)}`);
const me = "spiffe://dev.selvage/ns/default/sa/caller";

test("a client finds a server by its name, and the handler knows who calls", async () => {
  await startGreeter(named);
  expect(await call(clientOf(await joinMesh("caller")), "world")).toBe(`hello world, you are ${me}`);
});

test("what is not gRPC goes to the listener of the same port", async () => {
  await startGreeter(named, (req, res) => res.end(`${req.method} by ${peerOf(req)}`));
  const caller = await joinMesh("caller");
  expect(await (await caller.fetch("http://greeter/healthz")).text()).toBe(`GET by ${me}`);
  const web = { method: "POST", headers: { "content-type": "application/grpc-web" }, body: "x" };
  expect(await (await caller.fetch("http://greeter/", web)).text()).toBe(`POST by ${me}`);
  expect(await call(clientOf(caller), "you")).toBe(`hello you, you are ${me}`);
});

test("without a listener it gets 415", async () => {
  await startGreeter(named);
  const response = await (await joinMesh("caller")).fetch("http://greeter/healthz");
  expect([response.status, await response.text()]).toEqual([415, "this port serves gRPC\n"]);
});

test("a caller on a port of the server's own has no peer, whatever it claims", async () => {
  // What a handler could have passed on: all metadata of a call that came by the mesh.
  let seen = new Metadata();
  const server = grpcServer((one, callback) => {
    seen = one.metadata;
    named(one, callback);
  });
  await listening(serveGrpc(await joinMesh("greeter"), server));
  const port = await new Promise<number>((resolve) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  await call(clientOf(await joinMesh("caller")), "x");
  const direct = new Greeter(`127.0.0.1:${port}`, credentials.createInsecure());
  stops.push(() => direct.close());
  const forged = new Metadata();
  forged.set("l5d-client-id", me);
  expect(await call(direct, "a", forged)).toBe("hello a, you are null");
  forged.set("l5d-client-proof", "x");
  expect(await call(direct, "b", forged)).toBe("hello b, you are null");
  // The proof belongs to one id: nobody becomes somebody else with it.
  forged.set("l5d-client-proof", String(seen.get("l5d-client-proof")));
  forged.set("l5d-client-id", me.replace("caller", "admin"));
  expect(await call(direct, "c", forged)).toBe("hello c, you are null");
  forged.set("l5d-client-id", "no id");
  expect(await call(direct, "d", forged)).toBe("hello d, you are null");
});

test("close lets calls in flight finish, and takes no more", async () => {
  let answer = () => {};
  let arrived = () => {};
  const here = new Promise<void>((resolve) => {
    arrived = resolve;
  });
  const { mesh, http } = await startGreeter(({ request }, callback) => {
    if (request !== "early") return callback(null, "before the mesh closed");
    answer = () => callback(null, "late");
    arrived();
  });
  const caller = await joinMesh("caller", { outbound: { port: 0, queue: { failFast: "100ms" } } });
  const client = clientOf(caller);
  const early = call(client, "early");
  await here;
  const closed = mesh.close();
  const ended = new Promise((resolve) => http.once("close", resolve));
  // Not announced any more, or GOAWAY: a new call doesn't get in.
  await expect.poll(() => call(client, "x")).toMatch(/^UNAVAILABLE: /);
  answer();
  expect(await early).toBe("late");
  await closed;
  await ended;
  expect(http.listening).toBe(false);
});

test("a server that was closed can listen again", async () => {
  const { http } = await startGreeter(named);
  const client = clientOf(await joinMesh("caller"));
  expect(await call(client, "1")).toContain("hello 1");
  await new Promise((resolve) => http.close(resolve));
  await listening(http);
  // The registry tells the caller of the new port.
  await expect.poll(() => call(client, "2")).toContain("hello 2");
});

test("a grpc-js server that was shut down is UNAVAILABLE, and the process goes on", async () => {
  const server = grpcServer(named);
  await listening(serveGrpc(await joinMesh("greeter"), server));
  const client = clientOf(await joinMesh("caller"));
  expect(await call(client, "1")).toContain("hello 1");
  server.forceShutdown();
  expect(await call(client, "2")).toMatch(/^(UNAVAILABLE|CANCELLED|INTERNAL): /);
});

test("interceptors of the client see its calls", async () => {
  await startGreeter((one, callback) => callback(null, String(one.metadata.get("x-added"))));
  const client = clientOf(await joinMesh("caller"), {
    interceptors: [
      (options, next) =>
        new InterceptingCall(next(options), {
          start(metadata, listener, start) {
            metadata.set("x-added", "by the interceptor");
            start(metadata, listener);
          },
        }),
    ],
  });
  expect(await call(client, "x")).toBe("by the interceptor");
});

test("a mesh that was closed says so", async () => {
  const caller = await joinMesh("caller");
  const client = clientOf(caller);
  await caller.close();
  expect(await call(client, "x")).toMatch(/^UNAVAILABLE: .*the mesh is closed/);
});
