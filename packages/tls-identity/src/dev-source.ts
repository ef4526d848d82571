import { join } from "node:path";
import { type Authority, createIssuer, createRoot, issueLeaf, openAuthority } from "./authority.js";
import { parseDer } from "./der.js";
import { IdentityError } from "./identity-error.js";
import type { IdentitySource, TrustBundle } from "./identity-source.js";
import { exportPrivateKeyPem, exportSpki, generateKey, importPrivateKey } from "./key.js";
import { type PemBlock, readPem, writePem } from "./pem.js";
import { createRotation } from "./rotation.js";
import type { SvidMaterial } from "./snapshot.js";
import type { Schedule } from "./snapshot-source.js";
import type { SpiffeId } from "./spiffe-id.js";
import { createFile, readFileIfAny, replaceFile } from "./state-file.js";

/** Options of {@link createDevSource}. */
export interface DevSourceOptions {
  /** Directory of the authority's file. Processes that name the same one believe each other. Made (0700) if missing. */
  readonly stateDir: string;
  /** Whose SVID to issue. Its trust domain chooses the authority: one file each. */
  readonly id: SpiffeId;
  /** Lifetime of an SVID. @defaultValue 24 h */
  readonly lifetimeMs?: number;
  /** Whether this is production, where the source refuses to work. @defaultValue whether `NODE_ENV` is `production` */
  readonly production?: boolean;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
  /** In [0, 1). @defaultValue `Math.random` */
  readonly random?: () => number;
  /** @defaultValue setTimeout, unreferenced */
  readonly schedule?: Schedule;
}

/** Defaults of {@link DevSourceOptions}. */
export const devSourceDefaults = Object.freeze({ lifetimeMs: 24 * 3_600_000 });

const dayMs = 24 * 3_600_000;
const rootLifetimeMs = 3650 * dayMs;
const issuerLifetimeMs = 365 * dayMs;

/**
 * An identity source for development: an authority of its own, root and issuer, in one 0600 file of `stateDir`. Any number of
 * processes may start at once and will agree on it. Whoever can read the file can be anybody in the trust domain, which is why
 * the source refuses production (`ready()` rejects with `dev-in-production`).
 */
export function createDevSource(options: DevSourceOptions): IdentitySource {
  const now = options.now ?? Date.now;
  const production = options.production ?? process.env["NODE_ENV"] === "production";
  const lifetimeMs = options.lifetimeMs ?? devSourceDefaults.lifetimeMs;
  return createRotation({
    expected: options.id,
    now,
    ...(options.random && { random: options.random }),
    ...(options.schedule && { schedule: options.schedule }),
    obtain: async () => {
      if (production) {
        const remedy = "set identity.source to files, spiffe or ca";
        throw new IdentityError(
          "dev-in-production",
          `the development authority does not work with NODE_ENV=production; ${remedy}`,
        );
      }
      const authority = await openDevAuthority(options.stateDir, options.id.trustDomain, { now: now(), lifetimeMs });
      return issueDevSvid(authority, options.id, { now: now(), lifetimeMs });
    },
  });
}

/** Root and issuer of a development authority. */
export interface DevAuthority {
  readonly root: Authority;
  readonly issuer: Authority;
}

/**
 * Reads the authority of a trust domain from its file, and makes it first if there is none. Makes a new issuer when the present one
 * would cut SVIDs short; old SVIDs stay good, since the root is the same.
 */
export async function openDevAuthority(
  stateDir: string,
  trustDomain: string,
  terms: { readonly now: number; readonly lifetimeMs: number },
): Promise<DevAuthority> {
  const path = join(stateDir, `${trustDomain}.authority.pem`);
  let text = await readFileIfAny(path);
  if (text === null) {
    const root = createRoot(trustDomain, { now: terms.now, lifetimeMs: rootLifetimeMs });
    const issuer = createIssuer(root, { now: terms.now, lifetimeMs: issuerLifetimeMs });
    if (await createFile(path, writeAuthority({ root, issuer }))) return { root, issuer };
    text = await readFileIfAny(path);
    if (text === null) throw new IdentityError("file-missing", `${path} vanished while it was read`);
  }
  const authority = readAuthority(trustDomain, path, text);
  const end = Math.min(terms.now + 2 * terms.lifetimeMs, authority.root.certificate.notAfter);
  if (authority.issuer.certificate.notAfter >= end) return authority;
  const issuer = createIssuer(authority.root, { now: terms.now, lifetimeMs: issuerLifetimeMs });
  await replaceFile(path, writeAuthority({ root: authority.root, issuer }));
  return { root: authority.root, issuer };
}

/** A new key and an SVID for it. */
export function issueDevSvid(
  authority: DevAuthority,
  id: SpiffeId,
  terms: { readonly now: number; readonly lifetimeMs: number },
): SvidMaterial {
  const pair = generateKey();
  const leaf = issueLeaf(authority.issuer, id, parseDer(exportSpki(pair.publicKey), 512), terms);
  const bundle: TrustBundle = { trustDomain: id.trustDomain, roots: [authority.root.certificate.raw] };
  return {
    chain: [leaf, authority.issuer.certificate.raw],
    key: pair.privateKey,
    bundles: new Map([[id.trustDomain, bundle]]),
  };
}

function writeAuthority(authority: DevAuthority): string {
  return [authority.root, authority.issuer]
    .map((one) => `${writePem("CERTIFICATE", one.certificate.raw)}${exportPrivateKeyPem(one.key)}`)
    .join("");
}

function readAuthority(trustDomain: string, path: string, text: string): DevAuthority {
  try {
    const blocks = readPem(text);
    const [rootDer, rootKey, issuerDer, issuerKey] = blocks;
    if (blocks.length !== 4) throw new IdentityError("pem-malformed", `${blocks.length} PEM blocks, not 4`);
    return { root: open(trustDomain, rootDer!, rootKey!), issuer: open(trustDomain, issuerDer!, issuerKey!) };
  } catch (cause) {
    const remedy = "delete it to start with a new authority, and restart every process that used it";
    throw new IdentityError(
      "file-unreadable",
      `${path} is not a development authority: ${(cause as Error).message}; ${remedy}`,
      { cause },
    );
  }
}

function open(trustDomain: string, certificate: PemBlock, key: PemBlock): Authority {
  if (certificate.label !== "CERTIFICATE" || key.label !== "PRIVATE KEY")
    throw new IdentityError("pem-malformed", "blocks of other kinds");
  return openAuthority(trustDomain, certificate.der, importPrivateKey(key.der));
}
