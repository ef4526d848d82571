import { generateKeyPairSync } from "node:crypto";
import { connect } from "node:tls";
import { Client, credentials, Server, type ServerUnaryCall, type ServiceError } from "@grpc/grpc-js";
import { afterEach, expect, test } from "vitest";
import { grpcChannelCredentials, listenGrpc, peerOfGrpcCall } from "../grpc.js";
import type { IdentitySnapshot, IdentitySource } from "../identity-source.js";
import { exportPrivateKeyPem } from "../key.js";
import { SpiffeId } from "../spiffe-id.js";
import { bakeLeaf } from "../testing/bad-leaf.js";
import { createTestTrust } from "../testing/test-trust.js";

const trust = createTestTrust();
const serverId = SpiffeId.parse("spiffe://a.example/ns/test/sa/server");
const clientId = SpiffeId.parse("spiffe://a.example/ns/test/sa/client");
const path = "/test.Echo/Who";
const same = (message: Buffer) => message;

/** A source that a test rotates. */
class TestSource implements IdentitySource {
  current: IdentitySnapshot;
  readonly #listeners = new Set<(snapshot: IdentitySnapshot) => void>();

  constructor(snapshot: IdentitySnapshot) {
    this.current = snapshot;
  }

  rotate(snapshot: IdentitySnapshot): void {
    this.current = snapshot;
    for (const listener of this.#listeners) listener(snapshot);
  }

  ready(): Promise<IdentitySnapshot> {
    return Promise.resolve(this.current);
  }

  subscribe(listener: (snapshot: IdentitySnapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onFailure(): () => void {
    return () => {};
  }

  close(): void {}
}

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function serve(source: IdentitySource) {
  const server = new Server();
  const refused: string[] = [];
  const peers: string[] = [];
  server.register(
    path,
    (call: ServerUnaryCall<Buffer, Buffer>, respond: (error: null, value: Buffer) => void) => {
      peers.push(call.getPeer());
      const answer = Buffer.from(String(peerOfGrpcCall(call)));
      if (call.request.length > 0) setTimeout(() => respond(null, answer), call.request[0]! * 10);
      else respond(null, answer);
    },
    same,
    same,
    "unary",
  );
  const listener = await listenGrpc(server, source, { host: "127.0.0.1", onRefused: (reason) => refused.push(reason) });
  stops.push(() => listener.close(0));
  stops.push(() => server.forceShutdown());
  return { server, listener, refused, peers, address: `127.0.0.1:${listener.port}` };
}

function clientOf(address: string, source: IdentitySource, expected = serverId): Client {
  const options = { "grpc.use_local_subchannel_pool": 1, "grpc.initial_reconnect_backoff_ms": 50 };
  const client = new Client(address, grpcChannelCredentials(source, expected), options);
  stops.push(() => client.close());
  return client;
}

function call(client: Client, tenMs = 0): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = tenMs === 0 ? Buffer.alloc(0) : Buffer.from([tenMs]);
    const deadline = Date.now() + 10_000;
    client.makeUnaryRequest(path, same, same, request, { deadline }, (error: ServiceError | null, answer?: Buffer) => {
      if (error === null) resolve(String(answer));
      else reject(error);
    });
  });
}

test("both ends know each other, and go on through rotations on one channel and one port", async () => {
  const ours = new TestSource(trust.snapshot(serverId));
  const theirs = new TestSource(trust.snapshot(clientId, { lifetimeMs: 3000 + (Date.now() - trust.now) }));
  const { address, peers } = await serve(ours);
  const client = clientOf(address, theirs);
  const answers = new Set([await call(client)]);
  // The client's first SVID ends, which ends its connection; the call in flight when it drains is finished.
  const other = SpiffeId.parse("spiffe://a.example/ns/test/sa/renamed");
  theirs.rotate(trust.snapshot(other));
  ours.rotate(trust.snapshot(serverId, { generation: 2 }));
  while (!answers.has(other.toString())) answers.add(await call(client, 5));
  expect([...answers]).toEqual([clientId.toString(), other.toString()]);
  expect(new Set(peers).size).toBeGreaterThanOrEqual(2);
}, 20_000);

test("a server that is not the expected one is refused, and one of a trust domain without a bundle", async () => {
  const { address } = await serve(new TestSource(trust.snapshot(serverId)));
  const source = new TestSource(trust.snapshot(clientId));
  await expect(call(clientOf(address, source, clientId))).rejects.toThrow(/leaf-id-unexpected/);
  const foreign = SpiffeId.parse("spiffe://b.example/x");
  await expect(call(clientOf(address, source, foreign))).rejects.toThrow(/no trust bundle for b\.example/);
});

test("clients are refused before gRPC reads a byte: without a certificate, of strangers, and with a bad leaf", async () => {
  const { address, refused, peers } = await serve(new TestSource(trust.snapshot(serverId)));
  const stranger = new TestSource(createTestTrust().snapshot(clientId));
  const expectedByStranger = { ...stranger.current, bundles: trust.snapshot(clientId).bundles };
  await expect(call(clientOf(address, new TestSource(expectedByStranger)))).rejects.toMatchObject({ code: 14 });
  const anonymous = new Client(address, credentials.createSsl(Buffer.from(trust.files(serverId).bundle)), {
    "grpc.ssl_target_name_override": "x",
  });
  stops.push(() => anonymous.close());
  await expect(call(anonymous)).rejects.toMatchObject({ code: 14 });
  const two = bakeLeaf(trust, { uris: [clientId.toString(), "spiffe://a.example/admin"] });
  const [host, port] = address.split(":") as [string, string];
  await new Promise((resolve) => {
    const options = { cert: two.chainPem, key: two.keyPem, rejectUnauthorized: false, servername: "" };
    const socket = connect({ host, port: Number(port), ...options, ALPNProtocols: ["h2"] });
    socket.on("error", () => {}).on("close", resolve);
    socket.resume();
  });
  expect(refused).toContain("leaf-uri-many");
  expect(refused.length).toBeGreaterThanOrEqual(3);
  expect(peers).toEqual([]);
});

test("no connection outlives the server's own certificate, and TLS 1.2 stays out after a rotation", async () => {
  const ours = new TestSource(trust.snapshot(serverId, { lifetimeMs: 3000 + (Date.now() - trust.now) }));
  const { address } = await serve(ours);
  const { notAfter } = ours.current;
  ours.rotate(ours.current);
  const theirs = trust.snapshot(clientId);
  const [host, port] = address.split(":") as [string, string];
  const open = (more: object) =>
    new Promise<string | null>((resolve) => {
      const own = { cert: theirs.chainPem, key: exportPrivateKeyPem(theirs.key).toString() };
      const socket = connect({ host, port: Number(port), ...own, rejectUnauthorized: false, servername: "", ...more });
      let version: string | null = null;
      socket.on("secureConnect", () => {
        version = socket.getProtocol();
      });
      socket.on("error", () => {}).on("close", () => resolve(version));
      socket.resume();
    });
  expect(await open({ maxVersion: "TLSv1.2" })).toBeNull();
  expect(await open({ ALPNProtocols: ["h2"] })).toBe("TLSv1.3");
  expect(Date.now()).toBeLessThanOrEqual(notAfter);
});

test("a call that came another way has no peer", () => {
  expect(peerOfGrpcCall({ getAuthContext: () => ({}) })).toBeNull();
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const raw = publicKey.export({ type: "spki", format: "der" });
  expect(peerOfGrpcCall({ getAuthContext: () => ({ sslPeerCertificate: { raw } }) })).toBeNull();
});
