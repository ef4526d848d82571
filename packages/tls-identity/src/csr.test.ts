import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, test } from "vitest";
import { derAltNames, derBasicConstraints, derDnsName, derName, derUriName } from "./certificate-builder.js";
import { readCsr, writeCsr } from "./csr.js";
import {
  type Der,
  derBits,
  derContext,
  derContextBytes,
  derInteger,
  derOid,
  derSequence,
  derSet,
  derUtf8,
  encodeDer,
  parseDer,
} from "./der.js";
import { IdentityError } from "./identity-error.js";
import { ecdsaWithSha256, exportSpki, generateKey, signBytes } from "./key.js";
import { SpiffeId } from "./spiffe-id.js";

const id = SpiffeId.parse("spiffe://a.example/ns/test/sa/peer");
const key = generateKey();

function reasonOf(der: Uint8Array): string {
  try {
    readCsr(der, id);
  } catch (error) {
    if (IdentityError.is(error)) return error.reason;
    throw error;
  }
  return "accepted";
}

interface Request {
  readonly version?: number;
  readonly subject?: Der;
  readonly spki?: Uint8Array;
  readonly attributes?: readonly Der[];
  /** Around the attributes. @defaultValue `[0]` */
  readonly wrapped?: (attributes: readonly Der[]) => Der;
  readonly algorithm?: Der;
  readonly signed?: (body: Buffer) => Buffer;
}

const names = (...all: Der[]) => derSequence(derAltNames(true, ...all));
const asked = (extensions: Der) => derSequence(derOid("1.2.840.113549.1.9.14"), derSet(extensions));
const good = asked(names(derUriName(id.toString())));

function request(how: Request): Buffer {
  const body = derSequence(
    derInteger(Buffer.from([how.version ?? 0])),
    how.subject ?? derName(),
    parseDer(how.spki ?? exportSpki(key.publicKey), 4096),
    (how.wrapped ?? ((attributes) => derContext(0, ...attributes)))(how.attributes ?? [good]),
  );
  const signature = how.signed?.(encodeDer(body)) ?? signBytes(encodeDer(body), key.privateKey);
  return encodeDer(derSequence(body, how.algorithm ?? parseDer(ecdsaWithSha256, 64), derBits(signature)));
}

/** A subject of one part with these attributes, each of a type and a value. */
const subject = (...attributes: [string, Der][]) =>
  derSequence(derSet(...attributes.map(([type, value]) => derSequence(derOid(type), value))));
const commonName = "2.5.4.3";
const organization = "2.5.4.10";

const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });

describe("a CSR", () => {
  test("made by hand like ours is accepted", () => {
    expect(reasonOf(request({}))).toBe("accepted");
    expect(reasonOf(request({ subject: derName(id.toString()) }))).toBe("accepted");
  });

  test.each<[string, string, Request]>([
    ["of a version that isn't 1", "csr-malformed", { version: 1 }],
    ["with another subject", "csr-identity", { subject: derName("admin") }],
    ["with the id as its organization", "csr-identity", { subject: subject([organization, derUtf8(id.toString())]) }],
    [
      "with the id as a common name that is no text",
      "csr-identity",
      { subject: subject([commonName, derContextBytes(12, Buffer.from(id.toString()))]) },
    ],
    [
      "with a common name in parts",
      "csr-identity",
      { subject: subject([commonName, derSequence(derUtf8(id.toString()))]) },
    ],
    [
      "with a second name",
      "csr-identity",
      { subject: subject([commonName, derUtf8(id.toString())], [organization, derUtf8("admin")]) },
    ],
    [
      "with a second part of its subject",
      "csr-identity",
      {
        subject: derSequence(
          ...["admin", id.toString()].map((name) => derSet(derSequence(derOid(commonName), derUtf8(name)))),
        ),
      },
    ],
    ["with attributes in a SEQUENCE", "csr-malformed", { wrapped: (attributes) => derSequence(...attributes) }],
    ["with attributes under another tag", "csr-malformed", { wrapped: (attributes) => derContext(1, ...attributes) }],
    ["for another id", "csr-identity", { attributes: [asked(names(derUriName("spiffe://a.example/admin")))] }],
    [
      "for a second id",
      "csr-identity",
      { attributes: [asked(names(derUriName(id.toString()), derUriName("spiffe://a.example/admin")))] },
    ],
    ["for a DNS name too", "csr-identity", { attributes: [asked(names(derUriName(id.toString()), derDnsName("x")))] }],
    ["for the id as a DNS name", "csr-identity", { attributes: [asked(names(derDnsName(id.toString())))] }],
    ["for no name", "csr-identity", { attributes: [asked(names())] }],
    ["without attributes", "csr-extension", { attributes: [] }],
    [
      "with an attribute of another kind",
      "csr-extension",
      { attributes: [derSequence(derOid("1.2.840.113549.1.9.7"), derSet())] },
    ],
    ["with two attributes", "csr-extension", { attributes: [good, good] }],
    ["that wants to be an authority", "csr-extension", { attributes: [asked(derSequence(derBasicConstraints(true)))] }],
    [
      "that wants its name and to be an authority",
      "csr-extension",
      { attributes: [asked(derSequence(derAltNames(true, derUriName(id.toString())), derBasicConstraints(true)))] },
    ],
    [
      "with a P-384 key",
      "csr-key",
      { spki: exportSpki(p384.publicKey), signed: (body) => sign("sha256", body, p384.privateKey) },
    ],
    [
      "with an RSA key",
      "csr-key",
      { spki: exportSpki(rsa.publicKey), signed: (body) => sign("sha256", body, rsa.privateKey) },
    ],
    [
      "signed by another key",
      "csr-proof-of-possession",
      { signed: (body) => signBytes(body, generateKey().privateKey) },
    ],
    [
      "signed over other bytes",
      "csr-proof-of-possession",
      { signed: (body) => signBytes(Buffer.concat([body, body]), key.privateKey) },
    ],
    ["with an empty signature", "csr-proof-of-possession", { signed: () => Buffer.alloc(0) }],
    ["that names another algorithm", "csr-algorithm", { algorithm: derSequence(derOid("1.2.840.10045.4.3.3")) }],
    ["with a long nothing in it", "der-too-long", { subject: derName("x".repeat(5000)) }],
  ])("%s is refused as %s", (_name, reason, how) => {
    expect(reasonOf(request(how))).toBe(reason);
  });

  test("with another kind of key is refused before OpenSSL has read it", () => {
    // A curve by its parameters, which are none.
    const algorithm = derSequence(derOid("1.2.840.10045.2.1"), derSequence(derInteger(Buffer.from([1]))));
    const spki = encodeDer(derSequence(algorithm, derBits(Buffer.alloc(65, 4))));
    expect(() => readCsr(request({ spki }), id)).toThrow(/^not a P-256 key$/);
  });

  test("with a compressed key is refused", () => {
    const full = exportSpki(key.publicKey);
    const x = full.subarray(-64, -32);
    const compressed = Buffer.concat([Buffer.from([2 + (full.at(-1)! & 1)]), x]);
    const algorithm = parseDer(full.subarray(2, 23), 64);
    const spki = encodeDer(derSequence(algorithm, derBits(compressed)));
    expect(createPublicKey({ key: spki, format: "der", type: "spki" }).asymmetricKeyDetails?.namedCurve).toBe(
      "prime256v1",
    );
    expect(reasonOf(request({ spki }))).toBe("csr-key");
  });

  test.each([
    ["nothing", Buffer.alloc(0), "der-malformed"],
    ["an indefinite length", Buffer.from("3080020100300030800000a0000000", "hex"), "der-not-canonical"],
    ["trailing bytes", Buffer.concat([request({}), Buffer.from([5, 0])]), "der-malformed"],
    ["depth", Buffer.from("30".repeat(1000).replace(/30/g, "3080"), "hex"), "der-malformed"],
    ["a longer length than needed", Buffer.from([0x30, 0x81, 2, 5, 0]), "der-not-canonical"],
    ["a padded INTEGER", Buffer.from([0x30, 4, 2, 2, 0, 1]), "der-not-canonical"],
    ["a big tag number", Buffer.from([0x30, 4, 0x1f, 2, 1, 1]), "der-malformed"],
    ["an OID arc that is not finished", Buffer.from([0x30, 3, 6, 1, 0x81]), "der-malformed"],
    ["an OID arc above 32 bits", Buffer.from([0x30, 8, 6, 6, 0x90, 0x80, 0x80, 0x80, 0x80, 0x01]), "csr-malformed"],
    ["nested bit strings", Buffer.from(`3082${"0400"}${"03820080".repeat(256)}`, "hex"), "der-malformed"],
  ])("of %s is refused", (_name, bytes, reason) => {
    expect(reasonOf(bytes)).toBe(reason);
  });

  test("has no accepted mutant among 20,000, and no exception but IdentityError", () => {
    const der = writeCsr(id, key);
    let seed = 7;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    let accepted = 0;
    let slowestMs = 0;
    for (let n = 0; n < 20_000; n++) {
      const mutant = Buffer.from(der);
      for (let k = random(3); k >= 0; k--) mutant[random(mutant.length)] = random(256);
      if (mutant.equals(der)) continue;
      const startedAt = performance.now();
      if (reasonOf(mutant) === "accepted") accepted++;
      slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    }
    expect(accepted).toBe(0);
    expect(slowestMs).toBeLessThan(500);
  }, 60_000);
});
