import { connect, createServer, type TLSSocket } from "node:tls";
import { type BadIdentity, type BadMaterial, badIdentities, createTestTrust } from "@selvage/tls-identity/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IdentityFiles, idOf } from "./identity-files.js";
import {
  type CallingEnd,
  listen,
  meshedKinds,
  refusedPeers,
  type ServingEnd,
  startCalling,
  startServing,
} from "./meshed-ends.js";

/**
 * Peers that must be refused, in the four meshed cells: as clients against both forms of what serves, as servers against both forms of
 * what calls. Each is refused, nothing of it reaches the application, why is counted, and good peers of both forms are served
 * all the while.
 */
const trust = createTestTrust();
const files = new IdentityFiles(trust);
afterAll(() => files.remove());

const goodPeer = "peer";
// Nothing is in flight when an end stops here.
const drain = { timeout: "10ms" } as const;
const as = (role: "client" | "server") => badIdentities.filter((bad) => bad.role === role || bad.role === "both");

function optionsOfBad(bad: BadIdentity, material: BadMaterial | null) {
  return {
    ...(material && { cert: material.chainPem, key: material.keyPem }),
    // The lowest security level, so that what is weak is refused by the other side.
    ciphers: "DEFAULT@SECLEVEL=0",
    ...bad.tls,
  };
}

/** Where OpenSSL gives up in the middle of a handshake, a port learns only in what part of it. */
const partOf: Readonly<Record<string, RegExp>> = {
  ERR_SSL_EVP_LIB: /^CERT_SIGNATURE_FAILURE$/,
  ERR_SSL_INVALID_CERTIFICATE: /^certificate-/,
};

function isReasonFor(bad: BadIdentity, counted: string): boolean {
  const expected = [bad.reason, ...(bad.alternatives ?? [])];
  return expected.some((reason) => reason === counted || partOf[counted]?.test(reason));
}

/** Reasons that were counted between two pages, without those that another peer may cause. */
function newReasons(before: Map<string, number>, after: Map<string, number>): string[] {
  return [...after].filter(([reason, count]) => count > (before.get(reason) ?? 0)).map(([reason]) => reason);
}

describe.each(meshedKinds)("bad clients of a port of the %s", (kind) => {
  const reached: string[] = [];
  let server: ServingEnd;
  let good: readonly CallingEnd[];

  beforeAll(async () => {
    server = await startServing(kind, { ...files.optionsOf("app"), drain }, (req, res) => {
      reached.push(req.url ?? "");
      res.end("served");
    });
    const services = { "app.test": { endpoints: [{ address: server.address, identity: idOf("app") }] } };
    const options = { ...files.optionsOf(goodPeer), drain, outbound: { services } };
    good = await Promise.all(meshedKinds.map((caller) => startCalling(caller, options)));
  });
  afterAll(async () => {
    for (const end of good) await end.stop();
    await server.stop();
  });

  /** What the peer gets to see, after it has done its best to be served. */
  function attempt(bad: BadIdentity): Promise<string> {
    const [host, port] = server.address.split(":") as [string, string];
    return new Promise((resolve) => {
      let seen = "";
      const socket: TLSSocket = connect({
        host,
        port: Number(port),
        servername: "",
        rejectUnauthorized: false,
        ...optionsOfBad(bad, bad.make(trust)),
      });
      socket.on("secureConnect", () => socket.write("GET /bad HTTP/1.1\r\nhost: app.test\r\n\r\n"));
      socket.on("data", (chunk) => {
        seen += chunk.toString("latin1");
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(seen));
    });
  }

  test.each(as("client").map((bad) => [bad.name, bad] as const))("%s", async (_name, bad) => {
    const before = refusedPeers(await server.metrics());
    expect(await attempt(bad)).toBe("");
    const counted = newReasons(before, refusedPeers(await server.metrics()));
    expect(counted).toHaveLength(1);
    expect(counted[0]).toSatisfy((reason: string) => isReasonFor(bad, reason), `a reason such as ${bad.reason}`);
    for (const end of good) {
      expect(await end.client("app.test").send({ path: "/good" })).toMatchObject({ status: 200, text: "served" });
    }
    expect(reached).not.toContain("/bad");
  });
});

describe.each(meshedKinds)("bad servers before the outbound side of the %s", (kind) => {
  const caller = files.optionsOf("caller");
  let good: readonly ServingEnd[];
  beforeAll(async () => {
    const options = { ...files.optionsOf(goodPeer), drain };
    good = await Promise.all(meshedKinds.map((app) => startServing(app, options, (_req, res) => res.end("served"))));
  });
  afterAll(async () => {
    for (const end of good) await end.stop();
  });

  // Each has a caller of its own, which tries again in the background and would count for others otherwise.
  test.each(as("server").map((bad) => [bad.name, bad] as const))("%s", async (_name, bad) => {
    let reached = false;
    const server = createServer({
      ...optionsOfBad(bad, bad.make(trust)),
      ALPNProtocols: ["h2", "http/1.1"],
      requestCert: true,
      rejectUnauthorized: false,
    });
    server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
    server.on("secureConnection", (socket) => {
      socket.on("error", () => {});
      // Whoever gets as far as to be sent something has been believed.
      socket.on("data", () => {
        reached = true;
      });
    });
    const { port } = await listen(server);
    const identity = idOf(goodPeer);
    const end: CallingEnd = await startCalling(kind, {
      ...caller,
      drain,
      outbound: {
        services: {
          "bad.test": { endpoints: [{ address: `127.0.0.1:${port}`, identity }] },
          ...Object.fromEntries(
            good.map(({ address }, i) => [`good-${meshedKinds[i]}.test`, { endpoints: [{ address, identity }] }]),
          ),
        },
        queue: { failFast: "50ms" },
      },
    });
    try {
      const { status, headers } = await end.client("bad.test").send({ path: "/" });
      expect(status).toBeGreaterThanOrEqual(502);
      expect(headers["l5d-proxy-error"]).toBeDefined();
      await expect.poll(async () => refusedPeers(await end.metrics()).size).toBe(1);
      const [counted] = refusedPeers(await end.metrics()).keys();
      expect(counted).toSatisfy((reason: string) => isReasonFor(bad, reason), `a reason such as ${bad.reason}`);
      for (const app of meshedKinds) {
        const answer = await end.client(`good-${app}.test`).send({ path: "/" });
        expect(answer).toMatchObject({ status: 200, text: "served" });
      }
      expect(reached).toBe(false);
    } finally {
      server.close();
      await end.stop();
    }
  });
});
