import { type Authority, createIssuer, createRoot, issueLeaf } from "../authority.js";
import { readCertificate, subjectKeyIdOf } from "../certificate.js";
import {
  buildCertificate,
  derAltNames,
  derAuthorityKeyId,
  derBasicConstraints,
  derKeyUsage,
  derName,
  derSubjectKeyId,
  derUriName,
} from "../certificate-builder.js";
import { parseDer } from "../der.js";
import type { IdentitySnapshot, TrustBundle } from "../identity-source.js";
import { exportPrivateKeyPem, exportSpki, generateKey } from "../key.js";
import { writeCertificatesPem } from "../pem.js";
import { createSnapshot } from "../snapshot.js";
import { SpiffeId } from "../spiffe-id.js";

const hourMs = 3_600_000;

/** A trust domain of a test, with its private keys. */
export interface TestDomain {
  readonly trustDomain: string;
  readonly root: Authority;
  /** May sign for its own trust domain only. */
  readonly issuer: Authority;
  /** Without name constraints: what it signs for others must be refused by whoever verifies. */
  readonly openIssuer: Authority;
  readonly bundle: TrustBundle;
}

/** How to make a good SVID for a test. */
export interface TestSvidOptions {
  /** @defaultValue 1 h */
  readonly lifetimeMs?: number;
  /** @defaultValue 1 */
  readonly generation?: number;
  /** Domains whose bundles are held beside the id's own. @defaultValue none */
  readonly federated?: readonly TestDomain[];
}

/** Two trust domains with all keys in hand, for tests of whatever verifies peers. */
export interface TestTrust {
  /** `a.example`, the home of whoever is under test. */
  readonly a: TestDomain;
  /** `b.example`, federated or not as the test likes. */
  readonly b: TestDomain;
  readonly now: number;
  /** A good SVID for an id of either domain. */
  snapshot(id: SpiffeId, options?: TestSvidOptions): IdentitySnapshot;
  /** The same as PEM texts, for sources that read files. */
  files(
    id: SpiffeId,
    options?: TestSvidOptions,
  ): { readonly cert: string; readonly key: string; readonly bundle: string };
}

/** The id that the corpus of bad identities pretends to be, and that a verifying client expects. */
export const testPeerId: SpiffeId = SpiffeId.parse("spiffe://a.example/ns/test/sa/peer");

/** Makes two trust domains. `now` only matters for tests that travel in time. */
export function createTestTrust(options: { readonly now?: number } = {}): TestTrust {
  const now = options.now ?? Date.now();
  const a = createTestDomain("a.example", now);
  const b = createTestDomain("b.example", now);
  const domainOf = (id: SpiffeId) => (id.trustDomain === a.trustDomain ? a : b);
  const snapshot = (id: SpiffeId, how: TestSvidOptions = {}) => {
    const domain = domainOf(id);
    const pair = generateKey();
    const validity = { now, lifetimeMs: how.lifetimeMs ?? hourMs };
    const leaf = issueLeaf(domain.issuer, id, parseDer(exportSpki(pair.publicKey), 512), validity);
    const bundles = new Map([domain, ...(how.federated ?? [])].map((one) => [one.trustDomain, one.bundle]));
    const material = { chain: [leaf, domain.issuer.certificate.raw], key: pair.privateKey, bundles };
    return createSnapshot(material, { generation: how.generation ?? 1, now, expected: id });
  };
  return {
    a,
    b,
    now,
    snapshot,
    files: (id, how) => {
      const made = snapshot(id, how);
      return {
        cert: made.chainPem,
        key: exportPrivateKeyPem(made.key).toString("latin1"),
        bundle: writeCertificatesPem(domainOf(id).bundle.roots),
      };
    },
  };
}

/** Makes one trust domain: root, constrained issuer, and an issuer without constraints. */
export function createTestDomain(trustDomain: string, now: number): TestDomain {
  const root = createRoot(trustDomain, { now, lifetimeMs: 1000 * hourMs });
  const issuer = createIssuer(root, { now, lifetimeMs: 500 * hourMs });
  const openIssuer = createAuthorityBelow(root, "open", now);
  return { trustDomain, root, issuer, openIssuer, bundle: { trustDomain, roots: [root.certificate.raw] } };
}

/** An authority signed by another, without name constraints; by default one that may have no authorities below it. */
export function createAuthorityBelow(
  parent: Authority,
  name: string,
  now: number,
  pathLength: number | null = 0,
): Authority {
  const pair = generateKey();
  const spki = parseDer(exportSpki(pair.publicKey), 512);
  const der = buildCertificate({
    issuer: parent.certificate.subject,
    subject: derName(`${name}.${parent.trustDomain}`),
    spki,
    notBefore: now - 60_000,
    notAfter: now + 500 * hourMs,
    extensions: [
      derBasicConstraints(true, pathLength),
      derKeyUsage(5, 6),
      derAltNames(false, derUriName(`spiffe://${parent.trustDomain}`)),
      derSubjectKeyId(spki),
      derAuthorityKeyId(subjectKeyIdOf(parent.certificate)!),
    ],
    signer: parent.key,
  });
  return { trustDomain: parent.trustDomain, certificate: readCertificate(der), key: pair.privateKey };
}
