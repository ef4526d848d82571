import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import { IdentityError } from "./identity-error.js";
import { readPem } from "./pem.js";
import { SpiffeId } from "./spiffe-id.js";
import { badIdentities } from "./testing/bad-identities.js";
import { bakeLeaf } from "./testing/bad-leaf.js";
import { createTestTrust, testPeerId } from "./testing/test-trust.js";
import { type AdmissionCheck, admissionChecks, admitLeaf, type LeafCheck, leafChecks, verifyLeaf } from "./verify.js";

const trust = createTestTrust();

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (IdentityError.is(error)) return error.reason;
    throw error;
  }
  return "accepted";
}

const leaves = badIdentities.flatMap((bad) => {
  const made = bad.make(trust);
  return made === null ? [] : [{ name: bad.name, reason: bad.reason, der: readPem(made.chainPem)[0]!.der }];
});

describe("the leaf gate", () => {
  test("accepts a good leaf", () => {
    const der = readPem(bakeLeaf(trust).chainPem)[0]!.der;
    expect(verifyLeaf(der).id).toBe(testPeerId);
  });

  test.each(leafChecks)("without the check $reason something bad would pass it", ({ reason }) => {
    const others = leafChecks.filter((check: LeafCheck) => check.reason !== reason);
    const caught = leaves.filter(({ der }) => reasonOf(() => verifyLeaf(der)) === reason);
    expect(caught.length).toBeGreaterThan(0);
    for (const { der } of caught) expect(reasonOf(() => verifyLeaf(der, others))).not.toBe(reason);
    // Apart from names that name nobody, which the gate could not return anyway, each check is all that stands in the way of its case.
    const named = !["leaf-san-missing", "leaf-uri-missing", "leaf-id-malformed", "leaf-uri-not-spiffe"].includes(
      reason,
    );
    if (named) expect(caught.some(({ der }) => reasonOf(() => verifyLeaf(der, others)) === "accepted")).toBe(true);
  });

  test.each(admissionChecks)("without the check $reason something bad would be admitted", ({ reason }) => {
    const hour = 3_600_000;
    const now = trust.now;
    const dns = SpiffeId.parse("peer.test.serviceaccount.identity.linkerd.a.example");
    const good = { id: testPeerId, notBefore: now - hour, notAfter: now + hour };
    const cases = [
      [{ ...good, notBefore: now + 1 }, { now }],
      [{ ...good, notAfter: now - 1 }, { now }],
      [{ ...good, id: dns }, { now }],
      [
        { ...good, id: dns },
        { now, dnsTrustDomain: "b.example" },
      ],
      [good, { now, expected: SpiffeId.parse("spiffe://a.example/other") }],
    ] as const;
    const others = admissionChecks.filter((check: AdmissionCheck) => check.reason !== reason);
    const caught = cases.filter(([leaf, admission]) => reasonOf(() => admitLeaf(leaf, admission)) === reason);
    expect(caught.length).toBeGreaterThan(0);
    for (const [leaf, admission] of caught) expect(reasonOf(() => admitLeaf(leaf, admission, others))).toBe("accepted");
    expect(reasonOf(() => admitLeaf(good, { now, expected: testPeerId }))).toBe("accepted");
    expect(reasonOf(() => admitLeaf({ ...good, id: dns }, { now, dnsTrustDomain: "a.example" }))).toBe("accepted");
  });

  test("admits nobody early, late, by another kind of name, or instead of another", () => {
    // Not made of the list of rules, which would forget what the list forgets.
    expect(admissionChecks.map(({ reason }) => reason)).toEqual([
      "leaf-not-yet-valid",
      "leaf-expired",
      "leaf-dns-not-allowed",
      "leaf-id-unexpected",
    ]);
  });

  test("returns nobody, even without any rule", () => {
    const der = readPem(bakeLeaf(trust, { names: null }).chainPem)[0]!.der;
    expect(reasonOf(() => verifyLeaf(der, []))).toBe("certificate-malformed");
  });

  test("refuses every leaf of the corpus whose own form is its fault, for the stated reason", () => {
    const ours = leaves.filter(
      ({ reason }) => /^(leaf|der|certificate)-/.test(reason) && !/-(unexpected|not-allowed)$/.test(reason),
    );
    expect(ours.length).toBeGreaterThan(45);
    for (const { name, reason, der } of ours) expect([name, reasonOf(() => verifyLeaf(der))]).toEqual([name, reason]);
  });

  test("throws nothing but IdentityError on 20,000 mutants, and reads no other id than OpenSSL does", () => {
    const der = readPem(bakeLeaf(trust).chainPem)[0]!.der;
    let seed = 1;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const issuerKey = new X509Certificate(trust.a.issuer.certificate.raw).publicKey;
    let refused = 0;
    let signed = 0;
    for (let n = 0; n < 20_000; n++) {
      const mutant = Buffer.from(der);
      for (let k = random(3); k >= 0; k--) mutant[random(mutant.length)] = random(256);
      if (mutant.equals(der)) continue;
      const reason = reasonOf(() => verifyLeaf(mutant));
      if (reason !== "accepted") {
        refused++;
        continue;
      }
      // What still reads as a leaf is only not believed because of its signature.
      let x509: X509Certificate;
      try {
        x509 = new X509Certificate(mutant);
      } catch {
        continue;
      }
      if (x509.verify(issuerKey)) signed++;
      expect(x509.subjectAltName).toContain(verifyLeaf(mutant).id.toString());
    }
    expect(refused).toBeGreaterThan(5_000);
    expect(signed).toBe(0);
  }, 60_000);
});
