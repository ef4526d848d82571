import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, connect, createServer, type Server, type TLSSocket } from "node:tls";
import { afterEach, describe, expect, test } from "vitest";
import { BoundedCache } from "./bounded-cache.js";
import type { IdentitySnapshot } from "./identity-source.js";
import { leafOf, type PeerIdentity, peerIdentity } from "./peer-identity.js";
import { readPem } from "./pem.js";
import { SpiffeId } from "./spiffe-id.js";
import { bakeLeaf } from "./testing/bad-leaf.js";
import { verdictOfClient, verdictOfServer } from "./testing/handshake.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";
import { clientTlsOptions, serverTlsOptions } from "./tls-options.js";

const trust = createTestTrust();
const serverId = SpiffeId.parse("spiffe://a.example/ns/test/sa/server");
const clientId = SpiffeId.parse("spiffe://a.example/ns/test/sa/client");
const server = trust.snapshot(serverId);
const client = trust.snapshot(clientId);

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that answers every accepted peer with its id. */
async function listen(
  snapshot: IdentitySnapshot,
): Promise<{ readonly server: Server; readonly port: number; readonly peers: PeerIdentity[] }> {
  const peers: PeerIdentity[] = [];
  const listening = createServer(serverTlsOptions(snapshot), (socket) => {
    socket.on("error", () => {});
    try {
      peers.push(peerIdentity(socket));
      socket.write("hello");
      socket.resume();
    } catch {
      socket.destroy();
    }
  });
  listening.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
  listening.listen(0, "127.0.0.1");
  await once(listening, "listening");
  closers.push(() => listening.close());
  return { server: listening, port: (listening.address() as AddressInfo).port, peers };
}

/** Resolves with the socket when the server's word has come; rejects if the connection ends before. */
async function open(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: "127.0.0.1", port, ...options });
  closers.push(() => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    socket.once("data", () => resolve());
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed before the first byte")));
  });
  socket.on("error", () => {});
  return socket;
}

function raw(snapshot: IdentitySnapshot, more: ConnectionOptions = {}): ConnectionOptions {
  const key = snapshot.key.export({ type: "pkcs8", format: "pem" });
  return { cert: snapshot.chainPem, key, rejectUnauthorized: false, servername: "", ...more };
}

describe("TLS between workloads", () => {
  test("both sides know each other, over TLS 1.3", async () => {
    const { port, peers } = await listen(server);
    const socket = await open(port, clientTlsOptions(client, serverId));
    expect([peerIdentity(socket), socket.getProtocol(), socket.alpnProtocol]).toEqual([
      { id: serverId, notAfter: server.notAfter },
      "TLSv1.3",
      false,
    ]);
    expect(peers).toEqual([{ id: clientId, notAfter: client.notAfter }]);
  });

  test("a server answers ALPN for peers that need it", async () => {
    const { port } = await listen(server);
    const socket = await open(port, { ...clientTlsOptions(client, serverId), ALPNProtocols: ["h2"] });
    expect(socket.alpnProtocol).toBe("h2");
  });

  test("a client refuses a peer that is not the expected one, and a domain that it holds no bundle of", async () => {
    const { port } = await listen(server);
    await expect(open(port, clientTlsOptions(client, testPeerId))).rejects.toMatchObject({
      reason: "leaf-id-unexpected",
    });
    expect(() => clientTlsOptions(client, SpiffeId.parse("spiffe://b.example/x"))).toThrow(
      /no trust bundle for b\.example/,
    );
  });

  test("workloads of two federated domains accept each other, and not without the bundle", async () => {
    const foreignId = SpiffeId.parse("spiffe://b.example/ns/test/sa/far");
    const foreign = trust.snapshot(foreignId, { federated: [trust.a] });
    const federated = await listen(trust.snapshot(serverId, { federated: [trust.b] }));
    await open(federated.port, clientTlsOptions(foreign, serverId));
    expect(federated.peers[0]?.id).toBe(foreignId);
    const alone = await listen(server);
    await expect(open(alone.port, clientTlsOptions(foreign, serverId))).rejects.toThrow();
    expect(alone.peers).toEqual([]);
  });

  test("both roots of a domain are believed while one replaces the other, under one name too", async () => {
    const next = createTestTrust();
    const bundle = { trustDomain: "a.example", roots: [...trust.a.bundle.roots, ...next.a.bundle.roots] };
    const both = { ...server, bundles: new Map([["a.example", bundle]]) };
    const { port, peers } = await listen(both);
    await open(port, clientTlsOptions(client, serverId));
    await open(port, { ...clientTlsOptions({ ...next.snapshot(clientId), bundles: both.bundles }, serverId) });
    expect(peers.map((peer) => peer.id)).toEqual([clientId, clientId]);
  });

  test("TLS 1.2 is refused, also after a rotation", async () => {
    const { server: listening, port } = await listen(server);
    const old = raw(client, { maxVersion: "TLSv1.2" });
    await expect(open(port, old)).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
    const rotated = trust.snapshot(serverId, { generation: 2 });
    listening.setSecureContext(serverTlsOptions(rotated));
    await expect(open(port, old)).rejects.toMatchObject({ code: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" });
    const socket = await open(port, clientTlsOptions(client, serverId));
    expect(socket.getPeerX509Certificate()?.raw).toEqual(rotated.leaf);
  });

  test("a rotation leaves open connections alone and still demands certificates", async () => {
    const { server: listening, port, peers } = await listen(server);
    const socket = await open(port, clientTlsOptions(client, serverId));
    listening.setSecureContext(serverTlsOptions(trust.snapshot(serverId, { generation: 2 })));
    const stranger = createTestTrust().snapshot(clientId);
    await expect(open(port, raw(stranger))).rejects.toThrow();
    await expect(open(port, { rejectUnauthorized: false, servername: "" })).rejects.toThrow();
    expect([socket.destroyed, peers.length]).toEqual([false, 1]);
  });

  test("a session is never resumed, even by a client that keeps it", async () => {
    const { port, peers } = await listen(server);
    const first = connect({ host: "127.0.0.1", port, ...raw(client) });
    closers.push(() => first.destroy());
    first.on("error", () => {});
    first.resume();
    // Before the ticket has come there is nothing that could be resumed.
    const [session] = (await once(first, "session")) as [Buffer];
    const second = await open(port, raw(client, { session }));
    expect([second.isSessionReused(), peers.length]).toEqual([false, 2]);
  });

  test("the gate refuses sockets that nobody verified, and resumed ones", () => {
    const socket = {
      authorized: true,
      isSessionReused: () => false,
      getProtocol: () => "TLSv1.3",
      getPeerCertificate: () => ({}),
    };
    const judge = (change: object) => () => peerIdentity({ ...socket, ...change } as unknown as TLSSocket);
    expect(judge({ authorized: false })).toThrow(expect.objectContaining({ reason: "tls-not-authorized" }));
    expect(judge({ isSessionReused: () => true })).toThrow(expect.objectContaining({ reason: "tls-session-resumed" }));
    expect(judge({ getProtocol: () => "TLSv1.2" })).toThrow(expect.objectContaining({ reason: "tls-version" }));
    expect(judge({})).toThrow(expect.objectContaining({ reason: "tls-no-certificate" }));
  });

  test("a leaf that was met before is refused once it has expired", () => {
    const der = readPem(bakeLeaf(trust).chainPem)[0]!.der;
    const socket = {
      authorized: true,
      isSessionReused: () => false,
      getProtocol: () => "TLSv1.3",
      getPeerCertificate: () => ({ raw: der }),
    } as unknown as TLSSocket;
    expect(peerIdentity(socket).id).toBe(testPeerId);
    const late = { now: () => trust.now + 2 * 3_600_000 };
    expect(() => peerIdentity(socket, late)).toThrow(expect.objectContaining({ reason: "leaf-expired" }));
  });

  test("Linkerd's form of name is accepted where asked for, on both sides", async () => {
    const dns = SpiffeId.parse("web.shop.serviceaccount.identity.linkerd.a.example");
    const linkerd = trust.snapshot(dns);
    const listening = createServer(serverTlsOptions(linkerd));
    const seen = new Promise((resolve) => {
      listening.on("secureConnection", (socket) => {
        socket.on("error", () => {});
        resolve(peerIdentity(socket, { dnsTrustDomain: "a.example" }).id);
        socket.write("hello");
      });
    });
    listening.listen(0, "127.0.0.1");
    await once(listening, "listening");
    closers.push(() => listening.close());
    const socket = await open((listening.address() as AddressInfo).port, clientTlsOptions(linkerd, dns));
    expect([await seen, socket.servername]).toEqual([dns, dns.toString()]);
  });

  test("one secure context serves all connections of a snapshot and trust domain", () => {
    const contextOf = (snapshot: IdentitySnapshot, id: SpiffeId) => clientTlsOptions(snapshot, id).secureContext;
    expect(contextOf(client, serverId)).toBe(contextOf(client, testPeerId));
    expect(contextOf(client, serverId)).not.toBe(contextOf(trust.snapshot(clientId), serverId));
    expect(serverTlsOptions(server)).toBe(serverTlsOptions(server));
  });

  test("the home of the gate is the handshake: without it, what it refuses would be accepted", async () => {
    // The client's side of the gate is checkServerIdentity. A leaf with two names shows that nothing else refuses it.
    const two = { material: bakeLeaf(trust, { uris: [testPeerId.toString(), "spiffe://a.example/admin"] }) };
    expect(await verdictOfServer(server, two)).toBe("leaf-uri-many");
    expect(await verdictOfClient(client, testPeerId, two)).toBe("leaf-uri-many");
  });
});

test("ten thousand peers leave a bounded number of verdicts", () => {
  const cache = new BoundedCache<number, number>(1024);
  for (let n = 0; n < 10_000; n++) cache.set(n, n);
  expect(cache.size).toBeLessThanOrEqual(2048);
  expect([cache.get(9_999), cache.get(0)]).toEqual([9_999, undefined]);
  const der = readPem(bakeLeaf(trust).chainPem)[0]!.der;
  expect(leafOf(der)).toBe(leafOf(Buffer.from(der)));
});
