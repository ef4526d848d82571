import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { describe, expect, test } from "vitest";
import { writeBundleDocument } from "../bundle-document.js";
import { writeCsr } from "../csr.js";
import { exportPrivateKeyPem, generateKey } from "../key.js";
import { readCertificatesPem, writeCertificatesPem, writePem } from "../pem.js";
import { SpiffeId } from "../spiffe-id.js";
import { badIdentities } from "../testing/bad-identities.js";
import { createTestTrust, testPeerId } from "../testing/test-trust.js";
import { serverTlsOptions } from "../tls-options.js";
import { leafChecks } from "../verify.js";
import { explainedReasons } from "./explain-reason.js";
import { inspectAddress } from "./inspect-address.js";
import { inspectMaterial } from "./inspect-material.js";

const trust = createTestTrust();
const good = trust.files(testPeerId);
const reasonsOf = (content: string | Buffer, terms = {}) =>
  inspectMaterial(Buffer.from(content), { bundle: good.bundle, ...terms }).flatMap(({ problems }) =>
    problems.map((problem) => problem.reason),
  );

describe("an inspected SVID", () => {
  test("has its id, dates and chain in words, and no problem if it is good", () => {
    const [leaf, issuer] = inspectMaterial(Buffer.from(good.cert + good.key), {
      bundle: good.bundle,
      expected: testPeerId.toString(),
      now: trust.now,
    });
    expect(leaf).toMatchObject({ what: "SVID", problems: [] });
    expect(leaf!.facts).toMatchObject({
      id: testPeerId.toString(),
      valid: expect.stringContaining("(59 minutes left)"),
      key: "ec prime256v1",
      "key usage": ["digital signature"],
      purposes: ["server auth", "client auth"],
      chain: "2 certificates, leads to a root of the bundle",
    });
    expect(issuer).toMatchObject({ what: "authority", problems: [] });
    expect(JSON.stringify([leaf, issuer])).not.toContain("PRIVATE");
  });

  test.each(
    badIdentities
      .filter((bad) => bad.reason.startsWith("leaf-") && bad.role !== "client")
      .map((bad) => [bad.name, bad] as const),
  )("says what is wrong with one that has %s", (_name, bad) => {
    const { chainPem } = bad.make(trust)!;
    expect([bad.reason, ...(bad.alternatives ?? [])]).toEqual(
      expect.arrayContaining([expect.toBeOneOf(reasonsOf(chainPem, { expected: testPeerId.toString() }))]),
    );
  });

  test("is held against bundle, key and time", () => {
    const other = trust.files(SpiffeId.parse("spiffe://b.example/x"));
    expect(reasonsOf(good.cert, { bundle: other.bundle })).toEqual(["chain-untrusted"]);
    expect(reasonsOf(good.cert + other.key)).toEqual(["svid-key-mismatch"]);
    expect(reasonsOf(good.cert, { expected: "spiffe://a.example/other" })).toEqual(["leaf-id-unexpected"]);
    expect(reasonsOf(good.cert, { now: trust.now + 7_200_000 })).toEqual(["leaf-expired"]);
    const [leaf, issuer] = readCertificatesPem(good.cert);
    expect(reasonsOf(writeCertificatesPem([leaf!]))).toEqual(["chain-untrusted"]);
    expect(reasonsOf(Buffer.concat([leaf!, issuer!]))).toEqual([]);
    expect(inspectMaterial(leaf!)[0]!.facts["chain"]).toMatch(/not verified/);
  });
});

describe("what else can be inspected", () => {
  test("bundles as PEM and as documents, and CSRs", () => {
    expect(inspectMaterial(Buffer.from(good.bundle))).toMatchObject([{ what: "authority", problems: [] }]);
    const document = writeBundleDocument({ ...trust.a.bundle, sequence: 3 });
    expect(inspectMaterial(Buffer.from(document))).toMatchObject([
      { what: "bundle", facts: { roots: "1", sequence: "3" }, problems: [] },
      { what: "authority", facts: { id: "spiffe://a.example" } },
    ]);
    expect(reasonsOf('{"keys":[]}')).toEqual(["bundle-empty"]);
    const csr = writeCsr(testPeerId, generateKey());
    for (const form of [csr, Buffer.from(writePem("CERTIFICATE REQUEST", csr))]) {
      const facts = { id: [testPeerId.toString()], key: "ec prime256v1" };
      expect(inspectMaterial(form, { expected: testPeerId.toString() })).toEqual([
        { what: "CSR", facts, problems: [] },
      ]);
      const [other] = inspectMaterial(form, { expected: "spiffe://a.example/x" });
      expect(other!.problems).toMatchObject([
        {
          reason: "csr-identity",
          text: expect.stringMatching(/it is for .*peer, expected is spiffe:\/\/a\.example\/x/),
        },
      ]);
    }
    const changed = Buffer.from(csr);
    changed[changed.length - 1]! ^= 1;
    expect(reasonsOf(changed)).toEqual(["csr-proof-of-possession"]);
  });

  test("nothing else, and never a key", () => {
    const key = exportPrivateKeyPem(generateKey().privateKey);
    for (const content of [key, Buffer.from("hello"), Buffer.alloc(0), Buffer.from([0x30, 0x80])]) {
      expect(() => inspectMaterial(content)).toThrow(expect.objectContaining({ reason: "pem-malformed" }));
    }
    expect(reasonsOf(Buffer.from([0x30, 0x03, 2, 1, 5]))).toEqual(["csr-malformed"]);
  });

  test("every rule of the leaf gate is explained", () => {
    expect(explainedReasons).toEqual(expect.arrayContaining(leafChecks.map((check) => check.reason)));
  });
});

describe("an inspected address", () => {
  test("shows what a server presents that would not let us in", async () => {
    const server = createServer(serverTlsOptions(trust.snapshot(testPeerId)));
    server.on("tlsClientError", (_error, socket) => socket.on("error", () => {}));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const found = await inspectAddress({ host: "127.0.0.1", port }, { bundle: good.bundle });
      expect(found).toMatchObject([
        { what: "connection", facts: { address: `127.0.0.1:${port}`, ALPN: "h2" }, problems: [] },
        { what: "SVID", facts: { id: testPeerId.toString() }, problems: [] },
        { what: "authority" },
      ]);
    } finally {
      server.close();
    }
    await expect(inspectAddress({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});
