import { describe, expect, test } from "vitest";
import { constrainedAnchors } from "./anchors.js";
import { type Authority, createRoot, isConstrained } from "./authority.js";
import { readCertificate } from "./certificate.js";
import { buildCertificate, derBasicConstraints, derKeyUsage, derSubjectKeyId } from "./certificate-builder.js";
import { readCertificatesPem } from "./pem.js";
import { SpiffeId } from "./spiffe-id.js";
import { bakeLeaf } from "./testing/bad-leaf.js";
import { verdictOfServer } from "./testing/handshake.js";
import { createAuthorityBelow, createTestTrust, testPeerId } from "./testing/test-trust.js";

const trust = createTestTrust();
const home = trust.snapshot(SpiffeId.parse("spiffe://a.example/ns/test/sa/home"));
const accepted = `accepted ${testPeerId}`;

describe("constrained anchors", () => {
  test("are built once for one set of bundles, and constrained each", () => {
    const bundles = new Map([trust.a, trust.b].map((domain) => [domain.trustDomain, domain.bundle]));
    const pem = constrainedAnchors(bundles);
    expect(constrainedAnchors(bundles)).toBe(pem);
    const certificates = readCertificatesPem(pem).map((der) => readCertificate(der));
    expect(certificates.map(isConstrained)).toEqual([true, true, true, true]);
  });

  test("refuse a bundle that holds a leaf: re-issued, it could sign", () => {
    const roots = [home.leaf];
    expect(() => constrainedAnchors(new Map([["a.example", { trustDomain: "a.example", roots }]]))).toThrow(
      /may not sign/,
    );
    expect(() => constrainedAnchors(new Map())).toThrow(/no trust bundle/);
    expect(() => constrainedAnchors(new Map([[".example", trust.a.bundle]]))).toThrow(/trust domain/);
  });

  test("may be made from an intermediate", async () => {
    const bundle = { trustDomain: "a.example", roots: [trust.a.openIssuer.certificate.raw] };
    const snapshot = { ...home, bundles: new Map([["a.example", bundle]]) };
    expect(await verdictOfServer(snapshot, { material: bakeLeaf(trust, { signer: trust.a.openIssuer }) })).toBe(
      accepted,
    );
    expect(await verdictOfServer(snapshot, { material: bakeLeaf(trust) })).not.toMatch(/accepted/);
  });

  test("keep a root's own path length", async () => {
    const rootAllowing = (pathLength: number) =>
      createAuthorityBelow(trust.a.root, `root${pathLength}`, trust.now, pathLength);
    const verdictUnder = async (root: Authority) => {
      const bundle = { trustDomain: "a.example", roots: [root.certificate.raw] };
      const issuer = createAuthorityBelow(root, "issuer", trust.now);
      return await verdictOfServer(
        { ...home, bundles: new Map([["a.example", bundle]]) },
        { material: bakeLeaf(trust, { signer: issuer }) },
      );
    };
    expect(await verdictUnder(rootAllowing(1))).toBe(accepted);
    expect(await verdictUnder(rootAllowing(0))).toBe("PATH_LENGTH_EXCEEDED");
  });

  test("keep a root's own name constraints, and the domain's beside them", async () => {
    // The constrained issuer of b stands as a root of a: its constraint allows b only, the anchor's a only, so nothing passes.
    const bundle = { trustDomain: "a.example", roots: [trust.b.issuer.certificate.raw] };
    const snapshot = { ...home, bundles: new Map([["a.example", bundle]]) };
    for (const uri of [testPeerId.toString(), "spiffe://b.example/ns/test/sa/peer"]) {
      const material = bakeLeaf(trust, { signer: trust.b.issuer, intermediates: [], uris: [uri] });
      expect(await verdictOfServer(snapshot, { material })).toBe("UNSPECIFIED");
    }
    // And without the anchor's constraint the second would: the root is unconstrained for its own domain.
    const own = { ...home, bundles: new Map([["b.example", { ...bundle, trustDomain: "b.example" }]]) };
    const material = bakeLeaf(trust, {
      signer: trust.b.issuer,
      intermediates: [],
      uris: ["spiffe://b.example/ns/test/sa/peer"],
    });
    expect(await verdictOfServer(own, { material })).toBe("accepted spiffe://b.example/ns/test/sa/peer");
  });

  test("keep a root's own validity", async () => {
    const hour = 3_600_000;
    const root = createRoot("a.example", { now: trust.now - 3 * hour, lifetimeMs: hour });
    const snapshot = {
      ...home,
      bundles: new Map([["a.example", { trustDomain: "a.example", roots: [root.certificate.raw] }]]),
    };
    const material = bakeLeaf(trust, { signer: root, intermediates: [] });
    expect(await verdictOfServer(snapshot, { material })).toBe("CERT_HAS_EXPIRED");
  });

  test("accept a peer that sends its root along", async () => {
    const intermediates = [trust.a.issuer.certificate.raw, trust.a.root.certificate.raw];
    expect(await verdictOfServer(home, { material: bakeLeaf(trust, { intermediates }) })).toBe(accepted);
  });

  test("do not let a federated domain stand in the way by listing this domain's root, or a look-alike", async () => {
    const { root } = trust.a;
    const alike = createRootLike(root);
    for (const stolen of [root.certificate.raw, alike]) {
      const b = { trustDomain: "b.example", roots: [...trust.b.bundle.roots, stolen] };
      const bundles = new Map([
        ["a.example", trust.a.bundle],
        ["b.example", b],
      ]);
      expect(await verdictOfServer({ ...home, bundles }, { material: bakeLeaf(trust) })).toBe(accepted);
      const far = bakeLeaf(trust, { uris: ["spiffe://b.example/far"], signer: trust.b.openIssuer });
      expect(await verdictOfServer({ ...home, bundles }, { material: far })).toBe("accepted spiffe://b.example/far");
    }
  });

  test("let a root that two domains list sign for both, and for no third", async () => {
    const shared = new Map([
      ["a.example", trust.a.bundle],
      ["b.example", { trustDomain: "b.example", roots: trust.a.bundle.roots }],
    ]);
    const verdictOn = (uri: string) =>
      verdictOfServer(
        { ...home, bundles: shared },
        { material: bakeLeaf(trust, { signer: trust.a.openIssuer, uris: [uri] }) },
      );
    expect(await verdictOn("spiffe://a.example/x")).toBe("accepted spiffe://a.example/x");
    // The open issuer has a URI of a.example in its own certificate, which both constraints permit.
    expect(await verdictOn("spiffe://b.example/x")).toBe("accepted spiffe://b.example/x");
    expect(await verdictOn("spiffe://c.example/x")).toBe("UNSPECIFIED");
  });
});

/** Another certificate with a root's name and key, which anybody can make up. */
function createRootLike(root: Authority): Buffer {
  const { subject, spki } = root.certificate;
  return buildCertificate({
    issuer: subject,
    subject,
    spki,
    notBefore: trust.now - 60_000,
    notAfter: trust.now + 1e12,
    extensions: [derBasicConstraints(true), derKeyUsage(5), derSubjectKeyId(spki)],
    signer: root.key,
  });
}
