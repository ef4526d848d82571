// npm run bench:identity: what identities cost, alone in one process. Processor time, so that neighbours count for little.
//   --quick (a tenth)
import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import {
  clientTlsOptions,
  createIdentityService,
  initAuthority,
  issuerPathsOf,
  peerIdentity,
  SpiffeId,
  serverTlsOptions,
} from "@selvage/tls-identity";
import { createTestTrust } from "@selvage/tls-identity/testing";

const quick = process.argv.includes("--quick");
const scale = quick ? 0.1 : 1;
let missed = false;

function report(name, value, unit, limit, isGood) {
  const good = isGood(value);
  missed ||= !good;
  process.stdout.write(
    `${name.padEnd(52)} ${value.toFixed(1).padStart(9)} ${unit.padEnd(8)} ${limit} ${good ? "" : "MISSED"}\n`,
  );
}

/** Processor time of this process, in ms. */
async function cpuMsOf(run) {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

await issuing();
await verifying();
await manyPeers();
process.exit(missed ? 1 : 0);

/** A CSR in, a certificate out: rules, limits, audit and all, without the network. */
async function issuing() {
  const directory = mkdtempSync(join(tmpdir(), "selvage-bench-identity-"));
  await initAuthority({ directory, trustDomain: "bench.example" });
  const id = SpiffeId.parse("spiffe://bench.example/ns/bench/sa/caller");
  const caller = { kind: "join-token", subject: id.toString(), attributes: {}, entitledTo: id };
  const unlimited = { perSecond: 1e9, burst: 1e9 };
  let lines = 0;
  const service = createIdentityService({
    trustDomain: "bench.example",
    issuer: issuerPathsOf(directory),
    authenticators: [{ authenticate: async () => caller }],
    callerLimit: unlimited,
    totalLimit: unlimited,
    audit: () => lines++,
  });
  await service.loaded();
  const count = Math.round(1000 * scale);
  // Made before: their cost is the callers'.
  const csrs = Array.from({ length: count }, () => csrFor(id.toString()));
  const context = { peer: null, address: "bench", signal: new AbortController().signal };
  const all = async () => {
    for (const csr of csrs) await service.certify({ identity: id.toString(), token: Buffer.from("t"), csr }, context);
  };
  await all();
  const perSecond = [];
  for (let round = 0; round < 5; round++) perSecond.push((count / (await cpuMsOf(all))) * 1000);
  service.close();
  rmSync(directory, { recursive: true, force: true });
  report("certificates issued per second of a core", median(perSecond), "/s", ">= 800", (value) => value >= 800);
}

/** A CSR as a workload's, made by hand: DER with a SAN of one URI. */
function csrFor(uri) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const der = (tag, ...parts) => {
    const body = Buffer.concat(parts);
    const length =
      body.length < 128
        ? [body.length]
        : body.length < 256
          ? [0x81, body.length]
          : [0x82, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const oid = (hex) => der(6, Buffer.from(hex, "hex"));
  const san = der(0x30, oid("551d11"), der(1, Buffer.from([255])), der(4, der(0x30, der(0x86, Buffer.from(uri)))));
  const request = der(0x30, oid("2a864886f70d01090e"), der(0x31, der(0x30, san)));
  const spki = publicKey.export({ type: "spki", format: "der" });
  const body = der(0x30, der(2, Buffer.from([0])), der(0x30), spki, der(0xa0, request));
  const algorithm = der(0x30, oid("2a8648ce3d040302"));
  return der(0x30, body, algorithm, der(3, Buffer.from([0]), sign("sha256", body, privateKey)));
}

/** Connections between two workloads that know each other, and of these the part that says who the peer is. */
async function verifying() {
  const trust = createTestTrust();
  const serverId = SpiffeId.parse("spiffe://a.example/ns/test/sa/server");
  const client = trust.snapshot(SpiffeId.parse("spiffe://a.example/ns/test/sa/client"));
  const sockets = [];
  const server = createServer(serverTlsOptions(trust.snapshot(serverId)), (socket) => {
    socket.on("error", () => {});
    sockets.push(socket);
    socket.write("x");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const open = async () => {
    const socket = connect({ host: "127.0.0.1", port: server.address().port, ...clientTlsOptions(client, serverId) });
    await once(socket, "data");
    return socket;
  };
  const count = Math.max(20, Math.round(300 * scale));
  for (let n = 0; n < count; n++) (await open()).destroy();
  sockets.splice(0);
  const opened = [];
  const handshakes = await cpuMsOf(async () => {
    for (let n = 0; n < count; n++) opened.push(await open());
  });
  const { checkServerIdentity } = clientTlsOptions(client, serverId);
  const shown = opened.map((socket) => socket.getPeerCertificate());
  const verdicts = await cpuMsOf(async () => {
    // As in a handshake: once on the server, and on the client what Node calls with the certificate in hand.
    for (const socket of sockets) peerIdentity(socket);
    for (const certificate of shown) checkServerIdentity("", certificate);
  });
  for (const socket of opened) socket.destroy();
  server.close();
  report("handshake, both sides", handshakes / count, "ms", "", () => true);
  report(
    "of which: who a known peer is, both sides",
    (verdicts / handshakes) * 100,
    "%",
    "<= 5",
    (value) => value <= 5,
  );
}

/** Peers that were never met before, ten thousand and ten thousand more. */
async function manyPeers() {
  const trust = createTestTrust();
  const count = Math.round(10_000 * scale);
  const meet = () => {
    for (let n = 0; n < count; n++) {
      const { leaf } = trust.snapshot(SpiffeId.parse(`spiffe://a.example/ns/test/sa/${randomUUID()}`));
      peerIdentity({
        authorized: true,
        isSessionReused: () => false,
        getProtocol: () => "TLSv1.3",
        getPeerCertificate: () => ({ raw: leaf }),
      });
    }
  };
  const heapMiB = async () => {
    for (let n = 0; n < 3; n++) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return process.memoryUsage().heapUsed / 2 ** 20;
  };
  meet();
  const before = await heapMiB();
  meet();
  const after = await heapMiB();
  report(`heap after ${count} peers`, before, "MiB", "", () => true);
  report(`more after ${count} others`, after - before, "MiB", "<= 2", (value) => value <= 2);
}
