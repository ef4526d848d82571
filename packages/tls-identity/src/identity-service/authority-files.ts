import { X509Certificate } from "node:crypto";
import { unlink } from "node:fs/promises";
import { join } from "node:path";
import { type Authority, createIssuer, createRoot, openAuthority } from "../authority.js";
import { altNamesOf, readCertificate } from "../certificate.js";
import { IdentityError } from "../identity-error.js";
import { exportPrivateKeyPem, importPrivateKey } from "../key.js";
import { readCertificatesPem, readPem, writeCertificatesPem, writePem } from "../pem.js";
import { requireTrustDomain } from "../spiffe-id.js";
import { createFile, readFileIfAny, replaceFile, syncDirectory } from "../state-file.js";
import type { IssuerPaths } from "./issuer-files.js";

/** What the functions for an authority's directory share. */
export interface AuthorityDirectory {
  /** Holds `root.pem`, `issuer.pem` (certificate and key each, 0600), `bundle.pem` (0644) and, during a change of roots, `next-root.pem`. */
  readonly directory: string;
  readonly trustDomain: string;
  /** Milliseconds since 1970. @defaultValue `Date.now` */
  readonly now?: () => number;
}

/** Lifetimes of what is made. */
export interface AuthorityLifetimes {
  /** @defaultValue 10 years */
  readonly rootLifetimeMs?: number;
  /** @defaultValue 1 year */
  readonly issuerLifetimeMs?: number;
}

const dayMs = 24 * 3_600_000;
const rootLifetimeByDefaultMs = 3650 * dayMs;
const issuerLifetimeByDefaultMs = 365 * dayMs;

const fileOf = (where: AuthorityDirectory, name: "root" | "next-root" | "issuer" | "bundle") =>
  join(where.directory, `${name}.pem`);
const nowOf = (where: AuthorityDirectory) => (where.now ?? Date.now)();

/** The paths that an identity service of this directory reads. */
export function issuerPathsOf(directory: string): IssuerPaths {
  const issuer = join(directory, "issuer.pem");
  return { cert: issuer, key: issuer, bundle: join(directory, "bundle.pem") };
}

/**
 * Makes root, issuer and bundle. Throws `file-write` if the directory has all of them already; finishes what an earlier call
 * began, under the same root.
 */
export async function initAuthority(where: AuthorityDirectory, lifetimes: AuthorityLifetimes = {}): Promise<void> {
  requireTrustDomain(where.trustDomain);
  const made = newRoot(where, lifetimes);
  const isNew = await createFile(fileOf(where, "root"), writeAuthority(made));
  if (!isNew && (await readFileIfAny(fileOf(where, "issuer"))) !== null) {
    const remedy = "remove the directory to begin anew, and with it all trust in this root";
    throw new IdentityError("file-write", `${fileOf(where, "root")} is there already; ${remedy}`);
  }
  const root = isNew ? made : await readAuthority(where, "root");
  await replaceFile(fileOf(where, "bundle"), writeCertificatesPem([root.certificate.raw]), 0o644);
  await createFile(fileOf(where, "issuer"), writeAuthority(newIssuer(where, root, lifetimes)));
}

/** Makes a new issuer below the present root. Leaves of the old one stay good; running services take the new one up by themselves. */
export async function rotateIssuer(where: AuthorityDirectory, lifetimes: AuthorityLifetimes = {}): Promise<void> {
  const root = await readAuthority(where, "root");
  await replaceFile(fileOf(where, "issuer"), writeAuthority(newIssuer(where, root, lifetimes)));
}

/** A change of roots, in its three steps. */
export type RootRotationStep = "prepare" | "activate" | "finish";

/** Options of {@link rotateRoot}. */
export interface RootRotationOptions extends AuthorityLifetimes {
  readonly step: RootRotationStep;
  /** Longest lifetime of a leaf; until it has passed since `activate`, `finish` is refused. @defaultValue 24 h */
  readonly leafLifetimeMs?: number;
}

/**
 * Changes the root without a moment at which two workloads disbelieve each other. A step that was cut short can be taken again.
 * 1. `prepare` makes the next root and puts both into the bundle. Then wait until every workload has the new bundle.
 * 2. `activate` makes it the root, with an issuer below it. Then wait until every leaf of the old issuer has ended.
 * 3. `finish` takes the old root out of the bundle; refused while leaves of the old issuer may still be valid.
 */
export async function rotateRoot(where: AuthorityDirectory, options: RootRotationOptions): Promise<void> {
  const root = await readAuthority(where, "root");
  const next = await readAuthorityIfAny(where, "next-root");
  switch (options.step) {
    case "prepare": {
      const prepared = next ?? newRoot(where, options);
      await createFile(fileOf(where, "next-root"), writeAuthority(prepared));
      await replaceFile(fileOf(where, "bundle"), writeCertificatesPem(distinct([root, prepared])), 0o644);
      return;
    }
    case "activate":
      if (next === null)
        throw new IdentityError(
          "file-missing",
          "no next root is prepared; prepare it, and wait until every workload has the bundle",
        );
      // In this order the step can be taken again after a crash, at whatever point.
      if (!Buffer.from(root.certificate.raw).equals(next.certificate.raw)) {
        await replaceFile(fileOf(where, "bundle"), writeCertificatesPem(distinct([root, next])), 0o644);
        await replaceFile(fileOf(where, "issuer"), writeAuthority(newIssuer(where, next, options)));
        await replaceFile(fileOf(where, "root"), writeAuthority(next));
      }
      await unlink(fileOf(where, "next-root"));
      await syncDirectory(where.directory);
      return;
    case "finish": {
      if (next !== null) throw new IdentityError("file-write", "the next root is only prepared; activate it first");
      const issuer = await readAuthority(where, "issuer");
      const endsAt = issuer.certificate.notBefore + (options.leafLifetimeMs ?? dayMs) + 2 * 60_000;
      if (nowOf(where) < endsAt) {
        const until = new Date(endsAt).toISOString();
        throw new IdentityError(
          "file-write",
          `leaves of the old issuer may be valid until ${until}; finish after that`,
        );
      }
      await replaceFile(fileOf(where, "bundle"), writeCertificatesPem([root.certificate.raw]), 0o644);
    }
  }
}

/** What {@link inspectAuthority} says of one certificate. */
export interface CertificateSummary {
  readonly role: "root" | "next-root" | "issuer" | "bundle";
  readonly subject: string;
  readonly sha256: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Whole days left; negative when it has ended. */
  readonly daysLeft: number;
}

/** The certificates of a directory. Private keys are neither read nor shown. */
export async function inspectAuthority(where: AuthorityDirectory): Promise<CertificateSummary[]> {
  const summaries: CertificateSummary[] = [];
  for (const role of ["root", "next-root", "issuer", "bundle"] as const) {
    const text = await readFileIfAny(fileOf(where, role));
    for (const block of text === null ? [] : readPem(text)) {
      if (block.label !== "CERTIFICATE") continue;
      const { notBefore, notAfter } = readCertificate(block.der);
      const x509 = new X509Certificate(block.der);
      summaries.push({
        role,
        subject: x509.subject,
        sha256: x509.fingerprint256,
        notBefore: new Date(notBefore).toISOString(),
        notAfter: new Date(notAfter).toISOString(),
        daysLeft: Math.floor((notAfter - nowOf(where)) / dayMs),
      });
    }
  }
  return summaries;
}

/** The roots in a directory's bundle, DER. */
export async function readAuthorityBundle(where: AuthorityDirectory): Promise<Buffer[]> {
  return readCertificatesPem((await readFileIfAny(fileOf(where, "bundle"))) ?? "");
}

/** The trust domain of a directory, as its root says, or its issuer where the root is kept elsewhere. Throws `file-missing` without either. */
export async function readTrustDomain(directory: string): Promise<string> {
  const path = join(directory, "root.pem");
  const text = (await readFileIfAny(path)) ?? (await readFileIfAny(join(directory, "issuer.pem")));
  if (text === null)
    throw new IdentityError("file-missing", `${path} is missing; make an authority with: selvage identity init`);
  const [block] = readPem(text);
  const uri = block === undefined ? undefined : altNamesOf(readCertificate(block.der).extensions)?.uris[0];
  if (!uri?.startsWith("spiffe://"))
    throw new IdentityError("authority-mismatch", `the root in ${path} names no trust domain`);
  return requireTrustDomain(uri.slice("spiffe://".length));
}

function newRoot(where: AuthorityDirectory, lifetimes: AuthorityLifetimes): Authority {
  return createRoot(where.trustDomain, {
    now: nowOf(where),
    lifetimeMs: lifetimes.rootLifetimeMs ?? rootLifetimeByDefaultMs,
  });
}

function newIssuer(where: AuthorityDirectory, root: Authority, lifetimes: AuthorityLifetimes): Authority {
  return createIssuer(root, { now: nowOf(where), lifetimeMs: lifetimes.issuerLifetimeMs ?? issuerLifetimeByDefaultMs });
}

function distinct(authorities: readonly Authority[]): Uint8Array[] {
  const byBytes = new Map(
    authorities.map((one) => [Buffer.from(one.certificate.raw).toString("base64"), one.certificate.raw]),
  );
  return [...byBytes.values()];
}

function writeAuthority(authority: Authority): string {
  return `${writePem("CERTIFICATE", authority.certificate.raw)}${exportPrivateKeyPem(authority.key)}`;
}

async function readAuthority(where: AuthorityDirectory, name: "root" | "issuer"): Promise<Authority> {
  const authority = await readAuthorityIfAny(where, name);
  if (authority === null)
    throw new IdentityError("file-missing", `${fileOf(where, name)} is missing; initialise the directory first`);
  return authority;
}

async function readAuthorityIfAny(
  where: AuthorityDirectory,
  name: "root" | "next-root" | "issuer",
): Promise<Authority | null> {
  const text = await readFileIfAny(fileOf(where, name));
  if (text === null) return null;
  const [certificate, key] = readPem(text);
  if (certificate?.label !== "CERTIFICATE" || key?.label !== "PRIVATE KEY") {
    throw new IdentityError("pem-malformed", `${fileOf(where, name)} is not a certificate and its private key`);
  }
  return openAuthority(where.trustDomain, certificate.der, importPrivateKey(key.der));
}
