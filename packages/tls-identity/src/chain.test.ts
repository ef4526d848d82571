import { expect, test } from "vitest";
import { createIssuer, createRoot } from "./authority.js";
import { verifyChain } from "./chain.js";
import { IdentityError } from "./identity-error.js";
import { readCertificatesPem } from "./pem.js";
import { bakeLeaf, type LeafRecipe } from "./testing/bad-leaf.js";
import { createAuthorityBelow, createTestTrust } from "./testing/test-trust.js";

const trust = createTestTrust();
const { a, b, now } = trust;
const year = 365 * 24 * 3_600_000;

function verdict(recipe: LeafRecipe, at = now, bundle = a.bundle): string {
  try {
    verifyChain(readCertificatesPem(bakeLeaf(trust, recipe).chainPem), bundle, at);
  } catch (error) {
    if (IdentityError.is(error)) return error.reason;
    throw error;
  }
  return "accepted";
}

test("a chain is followed to a root of the bundle, sent along or not", () => {
  expect(verdict({})).toBe("accepted");
  expect(verdict({ intermediates: [a.issuer.certificate.raw, a.root.certificate.raw] })).toBe("accepted");
  expect(verdict({ signer: a.root, intermediates: [] })).toBe("accepted");
  expect(verdict({}, now, { trustDomain: "a.example", roots: [b.root.certificate.raw, a.root.certificate.raw] })).toBe(
    "accepted",
  );
});

test("a chain is refused for its fault", () => {
  const twoBelow = createAuthorityBelow(a.openIssuer, "below", now);
  const leafSigner = { ...a.issuer, certificate: { ...a.issuer.certificate } };
  expect(verdict({}, now, b.bundle)).toBe("chain-untrusted");
  expect(verdict({ intermediates: [] })).toBe("chain-untrusted");
  expect(verdict({ intermediates: [b.issuer.certificate.raw] })).toBe("chain-signature");
  expect(verdict({ signer: { ...leafSigner, key: b.issuer.key } })).toBe("chain-signature");
  expect(verdict({ signer: twoBelow, intermediates: [twoBelow.certificate.raw, a.openIssuer.certificate.raw] })).toBe(
    "chain-path-length",
  );
  expect(verdict({ intermediates: readCertificatesPem(bakeLeaf(trust).chainPem).slice(0, 1) })).toBe(
    "chain-not-authority",
  );
  expect(verdict({}, now + 2 * 3_600_000)).toBe("chain-expired");
  expect(verdict({ notAfter: now + year }, now + year / 2)).toBe("chain-expired");
  expect(verdict({}, now - 2 * 3_600_000)).toBe("chain-expired");
  expect(verdict({ intermediates: Array(12).fill(a.issuer.certificate.raw) })).toBe("chain-empty");
});

test("an empty chain leads nowhere", () => {
  expect(() => verifyChain([], a.bundle, now)).toThrow(expect.objectContaining({ reason: "chain-empty" }));
});

test("a signature counts only under the issuer's name", () => {
  // The issuer's key under the name of another: the signature is good, the chain is not.
  const renamed = { ...a.issuer, certificate: { ...a.issuer.certificate, subject: b.issuer.certificate.subject } };
  expect(verdict({ signer: renamed, intermediates: [a.issuer.certificate.raw] })).toBe("chain-signature");
});

test("a root's own path length counts", () => {
  const flat = createAuthorityBelow(a.root, "flat", now, 0);
  const below = createAuthorityBelow(flat, "below", now, null);
  const bundle = { trustDomain: "a.example", roots: [flat.certificate.raw] };
  expect(verdict({ signer: flat, intermediates: [] }, now, bundle)).toBe("accepted");
  expect(verdict({ signer: below }, now, bundle)).toBe("chain-path-length");
});

test("an expired root refuses only what no other root signs", () => {
  const old = createRoot("a.example", { now: now - year, lifetimeMs: year / 2 });
  const issuer = createIssuer(
    { ...old, certificate: { ...old.certificate, notAfter: now + year } },
    { now, lifetimeMs: year },
  );
  expect(verdict({ signer: issuer }, now, { trustDomain: "a.example", roots: [old.certificate.raw] })).toBe(
    "chain-expired",
  );
});
