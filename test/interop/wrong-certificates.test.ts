import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { clientTlsOptions, SpiffeId } from "@selvage/tls-identity";
import { type BadMaterial, badIdentities, createTestTrust } from "@selvage/tls-identity/testing";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { IdentityFiles, idOf } from "../conformance/identity-files.js";
import {
  type CallingEnd,
  listen,
  meshedKinds,
  refusedPeers,
  type ServingEnd,
  startCalling,
  startServing,
} from "../conformance/meshed-ends.js";
import { describeWith, execute, Program } from "./programs.js";

/**
 * OpenSSL, HAProxy and curl at the other end, in both directions: they believe our certificates and are believed with good ones; neither
 * side believes a wrong one, whoever shows it.
 */
const trust = createTestTrust();
const files = new IdentityFiles(trust);
const directory = mkdtempSync(join(tmpdir(), "wrong-certificates-"));
const good = trust.snapshot(SpiffeId.parse(idOf("peer")));
const roots = write("roots", trust.files(SpiffeId.parse(idOf("any"))).bundle);
/** Of an authority that has the same name and another key. */
const otherRoots = write("other-roots", createTestTrust().files(SpiffeId.parse(idOf("any"))).bundle);
const drain = { timeout: "10ms" } as const;

const programs: Program[] = [];
afterEach(async () => {
  for (const program of programs.splice(0)) await program.stop();
});
afterAll(() => {
  files.remove();
  rmSync(directory, { recursive: true, force: true });
});

interface Credentials {
  readonly cert: string;
  readonly key: string;
  /** Both in one file. */
  readonly both: string;
}

function write(name: string, text: string): string {
  const path = join(directory, `${name}.pem`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function credentials(name: string, { chainPem, keyPem }: BadMaterial): Credentials {
  const file = name.replace(/\W+/g, "-");
  return {
    cert: write(`${file}.cert`, chainPem),
    key: write(`${file}.key`, keyPem),
    both: write(`${file}.both`, `${chainPem}\n${keyPem}`),
  };
}

const mine = credentials("good", {
  chainPem: good.chainPem,
  keyPem: String(good.key.export({ type: "pkcs8", format: "pem" })),
});

/** Certificates that these programs can read and show; what is malformed is for other tests. */
const names = [
  "expired",
  "not yet valid",
  "self-signed",
  "signed by an unknown authority",
  "signed by another key under the issuer's name",
  "below one authority too many",
  "a leaf that is an authority",
  "for code signing",
  "no subjectAltName",
  "a DNS name and no URI",
  "two URIs",
  "an id without a path",
];
const bad = badIdentities.filter(({ name }) => names.includes(name));
const unexpected = badIdentities.filter(({ reason }) => reason === "leaf-id-unexpected").slice(0, 2);
const wrong = { client: bad, server: [...bad, ...unexpected] };
test("the certificates that are spoken of here are there", () => {
  expect(wrong.client.map(({ name }) => name).sort()).toEqual([...names].sort());
  expect(unexpected).toHaveLength(2);
});

function isReason(bad: (typeof badIdentities)[number], reasons: Iterable<string>): boolean {
  const stated = [bad.reason, ...(bad.alternatives ?? [])];
  // Where OpenSSL gives up in the middle of a handshake, a port learns only in what part of it.
  if (stated.includes("CERT_SIGNATURE_FAILURE")) stated.push("ERR_SSL_EVP_LIB");
  return [...reasons].some((reason) => stated.includes(reason));
}

async function freePort(): Promise<number> {
  const server = createServer();
  const { port } = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function start(command: string, parameters: readonly string[]): Program {
  const program = new Program(command, parameters);
  programs.push(program);
  return program;
}

/** HAProxy on a port, which answers with the certificate of whoever calls. */
async function haproxy(own: Credentials, options: { ca?: string; more?: string } = {}): Promise<string> {
  const port = await freePort();
  const file = join(directory, `haproxy-${port}.cfg`);
  writeFileSync(
    file,
    `global
      maxconn 100
    defaults
      mode http
      timeout client 20s
    frontend front
      bind 127.0.0.1:${port} ssl crt ${own.both} ca-file ${options.ca ?? roots} verify required alpn h2,http/1.1 ${options.more ?? "ssl-min-ver TLSv1.3"}
      http-request return status 200 content-type text/plain lf-string "%[ssl_c_der,base64]"
`,
  );
  const program = start("haproxy", ["-db", "-q", "-f", file]);
  let over = false;
  program.ended.then(() => {
    over = true;
  });
  const isOpen = () =>
    new Promise<boolean>((resolve) => {
      const socket = connectTcp(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false)).on("connect", () => socket.destroy());
    });
  while (!(await isOpen())) {
    if (over) throw new Error(`haproxy ended: ${program.stderr}${program.stdout}`);
    await later(20);
  }
  return `127.0.0.1:${port}`;
}

describeWith("haproxy", ["-v"], "haproxy as a server of the mesh", () => {
  describe.each(meshedKinds)("called by the %s", (kind) => {
    const caller = files.optionsOf("caller");

    async function call(address: string): Promise<{ end: CallingEnd; outcome: Awaited<ReturnType<typeof send>> }> {
      const services = { "proxy.test": { endpoints: [{ address, identity: idOf("peer") }] } };
      const outbound = { services, queue: { failFast: "50ms" } };
      const end = await startCalling(kind, { ...caller, drain, outbound });
      return { end, outcome: await send(end) };
    }
    const send = (end: CallingEnd) => end.client("proxy.test").send({ path: "/" });

    test("believes us, and is believed with an SVID", async () => {
      const { end, outcome } = await call(await haproxy(mine));
      await end.stop();
      expect(outcome.status).toBe(200);
      const seen = new X509Certificate(Buffer.from(outcome.text, "base64"));
      expect(seen.subjectAltName).toBe(`URI:${idOf("caller")}`);
    });

    test.each(wrong.server.map((bad) => [bad.name, bad] as const))("is refused with: %s", async (name, bad) => {
      const { end, outcome } = await call(await haproxy(credentials(name, bad.make(trust)!)));
      try {
        expect(outcome.status).toBeGreaterThanOrEqual(502);
        expect(outcome.text).not.toContain("MII");
        await expect.poll(async () => refusedPeers(await end.metrics()).size).toBeGreaterThan(0);
        const counted = refusedPeers(await end.metrics()).keys();
        expect(counted).toSatisfy((reasons: Iterable<string>) => isReason(bad, reasons), `such as ${bad.reason}`);
      } finally {
        await end.stop();
      }
    });

    test.each([
      ["refused with TLS 1.2", { more: "ssl-max-ver TLSv1.2" }],
      ["not reached when it doesn't know our authority", { ca: otherRoots }],
    ])("is %s", async (_name, options) => {
      const { end, outcome } = await call(await haproxy(mine, options));
      await end.stop();
      expect(outcome.status).toBeGreaterThanOrEqual(502);
      expect(outcome.headers["l5d-proxy-error"]).toBeDefined();
    });
  });
});

describeWith("openssl", ["version"], "openssl s_server", () => {
  /** What a client of ours makes of a server, and the server of it. */
  async function meet(own: Credentials, ca = roots): Promise<{ client: string; server: string }> {
    const port = await freePort();
    const verify = ["-Verify", "3", "-verify_return_error", "-CAfile", ca];
    const shown = ["-cert", own.cert, "-cert_chain", own.cert, "-key", own.key];
    const server = start("openssl", ["s_server", "-accept", `127.0.0.1:${port}`, ...shown, ...verify, "-tls1_3"]);
    await server.printed(/ACCEPT/);
    const caller = trust.snapshot(SpiffeId.parse(idOf("caller")));
    let socket: TLSSocket | undefined;
    const client = await new Promise<string>((resolve) => {
      socket = connect({ host: "127.0.0.1", port, ...clientTlsOptions(caller, SpiffeId.parse(idOf("peer"))) });
      socket.on("secureConnect", () => server.child.stdin?.write("hello\n"));
      socket.on("data", (data: Buffer) => resolve(`received ${data}`));
      socket.on("error", (error: NodeJS.ErrnoException & { reason?: string }) =>
        resolve(error.reason !== undefined && error.name === "IdentityError" ? error.reason : String(error.code)),
      );
      socket.on("close", () => resolve("closed"));
    });
    socket?.destroy();
    await server.stop();
    return { client, server: `${server.stdout}${server.stderr}` };
  }

  test("believes us, and is believed with an SVID", async () => {
    const { client, server } = await meet(mine);
    expect(client).toBe("received hello\n");
    expect(server).not.toMatch(/verify error/);
  });

  test("refuses us where it doesn't know our authority", async () => {
    const { client, server } = await meet(mine, otherRoots);
    expect(client).not.toContain("received");
    expect(server).toMatch(/verify error|certificate verify failed/);
  });

  test.each(wrong.server.map((bad) => [bad.name, bad] as const))("is refused with: %s", async (name, bad) => {
    const { client } = await meet(credentials(name, bad.make(trust)!));
    expect(client).toSatisfy((reason: string) => isReason(bad, [reason]), `such as ${bad.reason}`);
  });
});

describe.each(meshedKinds)("clients of a port of the %s", (kind) => {
  let server: ServingEnd;
  const reached: string[] = [];
  beforeAll(async () => {
    server = await startServing(kind, { ...files.optionsOf("app"), drain }, (req, res) => {
      reached.push(req.url ?? "");
      res.end(`served ${req.headers["l5d-client-id"]}`);
    });
  });
  afterAll(() => server.stop());

  /** Whether the port refused, for a reason such as this one, and nothing reached the application. */
  async function expectRefused(bad: (typeof badIdentities)[number], attempt: () => Promise<string>): Promise<void> {
    const before = refusedPeers(await server.metrics());
    expect(await attempt()).not.toContain("served");
    const after = refusedPeers(await server.metrics());
    const counted = [...after].filter(([reason, count]) => count > (before.get(reason) ?? 0)).map(([reason]) => reason);
    expect(counted).toSatisfy((reasons: string[]) => isReason(bad, reasons), `such as ${bad.reason}`);
    expect(reached).not.toContain("/bad");
  }

  describeWith("curl", ["--version"], "curl", () => {
    const curl = (own: Credentials, path: string, ...verify: string[]) => {
      const told = ["-q", "-sS", "--max-time", "20", "--noproxy", "*", "--cert", own.cert, "--key", own.key];
      return execute("curl", [...told, ...verify, `https://${server.address}${path}`]);
    };

    test("is believed with an SVID", async () => {
      expect((await curl(mine, "/good", "--insecure")).stdout).toBe(`served ${idOf("peer")}`);
    });

    test("believes our chain by our authority, and by no other", async () => {
      // It looks for a host then, which an SVID has not: that this is what it misses says that the chain is good.
      const { status, stdout, stderr } = await curl(mine, "/bad", "--cacert", roots);
      expect({ status, stdout }).toEqual({ status: 60, stdout: "" });
      expect(stderr).toMatch(/(subject|common) name/);
      const stranger = await curl(mine, "/bad", "--cacert", otherRoots);
      expect(stranger).toMatchObject({ status: 60, stdout: "" });
      expect(stranger.stderr).toMatch(/unable to get local issuer|self-signed|signature failure/);
    });

    test.each(wrong.client.map((bad) => [bad.name, bad] as const))("is refused with: %s", async (name, bad) => {
      const own = credentials(name, bad.make(trust)!);
      await expectRefused(bad, async () => (await curl(own, "/bad", "--insecure")).stdout);
    });
  });

  describeWith("openssl", ["version"], "openssl s_client", () => {
    const client = (own: Credentials, ca: string, path: string) => {
      const shown = ["-cert", own.cert, "-cert_chain", own.cert, "-key", own.key, "-CAfile", ca];
      const input = `GET ${path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n`;
      return execute("openssl", ["s_client", "-connect", server.address, "-ign_eof", ...shown], { input });
    };

    test("believes our chain, and is believed with an SVID", async () => {
      const { stdout } = await client(mine, roots, "/good");
      expect(stdout).toContain(`served ${idOf("peer")}`);
      expect(stdout).toContain("Verify return code: 0 (ok)");
    });

    test("doesn't believe our chain where it doesn't know our authority", async () => {
      expect((await client(mine, otherRoots, "/good")).stdout).toMatch(/Verify return code: [1-9]/);
    });

    test.each(wrong.client.map((bad) => [bad.name, bad] as const))("is refused with: %s", async (name, bad) => {
      const own = credentials(name, bad.make(trust)!);
      await expectRefused(bad, async () => (await client(own, roots, "/bad")).stdout);
    });
  });
});
