import "reflect-metadata";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createIssuer, createRoot, issueLeaf } from "./authority.js";
import { readCertificate } from "./certificate.js";
import { readCsr, writeCsr } from "./csr.js";
import { parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import { exportSpki, generateKey } from "./key.js";
import { writePem } from "./pem.js";
import { SpiffeId } from "./spiffe-id.js";
import { verifyLeaf } from "./verify.js";

const hour = 3_600_000;
const validity = { now: Date.now(), lifetimeMs: hour };
const id = SpiffeId.parse("spiffe://prod.example/ns/shop/sa/storefront");
const root = createRoot("prod.example", validity);
const issuer = createIssuer(root, validity);
const key = generateKey();
const spki = parseDer(exportSpki(key.publicKey), 512);
const leaf = issueLeaf(issuer, id, spki, validity);

let directory = "";
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "authority-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, label: string, der: Uint8Array): string {
  const path = join(directory, name);
  writeFileSync(path, writePem(label, der));
  return path;
}

function opensslVerify(purpose: string, rootDer: Uint8Array, issuerDer: Uint8Array, leafDer: Uint8Array): string {
  const result = spawnSync("openssl", [
    "verify",
    "-x509_strict",
    "-purpose",
    purpose,
    "-CAfile",
    file("root.pem", "CERTIFICATE", rootDer),
    "-untrusted",
    file("issuer.pem", "CERTIFICATE", issuerDer),
    file("leaf.pem", "CERTIFICATE", leafDer),
  ]);
  return `${result.stdout}${result.stderr}`;
}

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
if (!hasOpenssl) console.warn("skipped: what openssl says of certificates and CSRs, since there is no openssl command");
const withOpenssl = test.skipIf(!hasOpenssl);

describe("an authority's certificates", () => {
  withOpenssl.each(["sslclient", "sslserver"])("are accepted by openssl in strict mode as %s", (purpose) => {
    expect(opensslVerify(purpose, root.certificate.raw, issuer.certificate.raw, leaf)).toMatch(/leaf\.pem: OK/);
  });

  withOpenssl("cannot be of another trust domain: openssl refuses what a constrained issuer signs for one", () => {
    const lie = { ...issuer, trustDomain: "other.example" };
    const foreign = issueLeaf(lie, SpiffeId.parse("spiffe://other.example/x"), spki, validity);
    expect(opensslVerify("sslclient", root.certificate.raw, issuer.certificate.raw, foreign)).toMatch(
      /permitted subtree violation/,
    );
    expect(() => issueLeaf(issuer, SpiffeId.parse("spiffe://other.example/x"), spki, validity)).toThrow(/cannot sign/);
  });

  withOpenssl("read the same through openssl and @peculiar/x509", async () => {
    const text = execFileSync("openssl", ["x509", "-noout", "-text", "-in", file("leaf.pem", "CERTIFICATE", leaf)], {
      encoding: "utf8",
    });
    expect(text).toMatch(
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/prod\.example\/ns\/shop\/sa\/storefront\n/,
    );
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    const theirs = new X509Certificate(leaf);
    const names = theirs.getExtension(SubjectAlternativeNameExtension)?.names.toJSON();
    expect(names).toEqual([{ type: "url", value: id.toString() }]);
    expect(await theirs.verify({ publicKey: new X509Certificate(issuer.certificate.raw), signatureOnly: true })).toBe(
      true,
    );
    expect(theirs.notAfter.getTime()).toBe(readCertificate(leaf).notAfter);
  });

  test("never outlive their issuer", () => {
    const long = issueLeaf(issuer, id, spki, { now: validity.now, lifetimeMs: 10 * hour });
    expect(readCertificate(long).notAfter).toBe(issuer.certificate.notAfter);
    const late = { now: validity.now + 2 * hour, lifetimeMs: hour };
    expect(() => issueLeaf(issuer, id, spki, late)).toThrow(IdentityError);
  });
});

describe("a CSR", () => {
  withOpenssl("is accepted by openssl and @peculiar/x509, and read back", async () => {
    const der = writeCsr(id, key);
    const checked = spawnSync("openssl", [
      "req",
      "-verify",
      "-noout",
      "-in",
      file("csr.pem", "CERTIFICATE REQUEST", der),
    ]);
    expect(`${checked.stdout}${checked.stderr}`).toMatch(/verify OK/);
    expect(await new Pkcs10CertificateRequest(der).verify()).toBe(true);
    expect(readCsr(der, id).publicKey.equals(key.publicKey)).toBe(true);
  });

  test("of Linkerd's DNS form is read, for the same id only", () => {
    const dns = SpiffeId.parse("web.shop.serviceaccount.identity.linkerd.prod.example");
    expect(readCsr(writeCsr(dns, key), dns).publicKey.equals(key.publicKey)).toBe(true);
    expect(() => readCsr(writeCsr(dns, key), id)).toThrow(/common name/);
    expect(() => readCsr(writeCsr(SpiffeId.parse("spiffe://prod.example/other"), key), id)).toThrow(/not for exactly/);
  });

  withOpenssl("made by openssl is read", () => {
    const path = join(directory, "own.key");
    execFileSync("openssl", ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path], { stdio: "ignore" });
    const der = execFileSync("openssl", [
      "req",
      "-new",
      "-key",
      path,
      "-subj",
      "/",
      "-addext",
      `subjectAltName=URI:${id}`,
      "-outform",
      "DER",
    ]);
    expect(readCsr(der, id).publicKey.asymmetricKeyType).toBe("ec");
  });

  test("made by @peculiar/x509 is read, and so is a certificate of its making", async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const san = new SubjectAlternativeNameExtension([{ type: "url", value: id.toString() }], true);
    const request = await Pkcs10CertificateRequestGenerator.create({
      keys,
      signingAlgorithm: algorithm,
      extensions: [san],
    });
    expect(readCsr(new Uint8Array(request.rawData), id).publicKey.asymmetricKeyType).toBe("ec");
    const made = await X509CertificateGenerator.createSelfSigned({
      keys,
      signingAlgorithm: algorithm,
      extensions: [san, new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true)],
      notBefore: new Date(validity.now),
      notAfter: new Date(validity.now + hour),
    });
    expect(verifyLeaf(new Uint8Array(made.rawData)).id).toBe(id);
  });
});
