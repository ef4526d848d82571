import { type Authority, openAuthority } from "../authority.js";
import { parseBundle } from "../bundle-document.js";
import { altNamesOf, readCertificate } from "../certificate.js";
import { verifyChain } from "../chain.js";
import { IdentityError } from "../identity-error.js";
import type { TrustBundle } from "../identity-source.js";
import { importPrivateKey } from "../key.js";
import { readPem, writePem } from "../pem.js";
import { requireTrustDomain } from "../spiffe-id.js";
import { readTogether } from "../stable-files.js";

/** Where an issuer's certificate, key and bundle are. Certificate and key may share a file, which makes their replacement atomic. */
export interface IssuerPaths {
  /** PEM: the issuer, then authorities between it and the root. */
  readonly cert: string;
  /** PEM: its private key, in a file that others may not read. */
  readonly key: string;
  /** PEM or bundle document: the roots of the trust domain. */
  readonly bundle: string;
}

/** An issuer ready for work. */
export interface LoadedIssuer {
  readonly authority: Authority;
  /** DER, what to send behind a leaf. */
  readonly intermediates: readonly Uint8Array[];
  readonly bundle: TrustBundle;
  /** End of the first of its chain to end, in milliseconds since 1970. */
  readonly notAfter: number;
  /** Changes if any file does. */
  readonly version: string;
}

/**
 * Reads an issuer from its files as of one moment, and checks that it belongs together: an authority, its key, a chain that is
 * valid now up to a root of the bundle. A key file that others may read is refused, always.
 */
export async function loadIssuer(paths: IssuerPaths, trustDomain: string, now: number): Promise<LoadedIssuer> {
  requireTrustDomain(trustDomain);
  const [key, cert, bundleText] = await readTogether([paths.key, paths.cert, paths.bundle], paths.key);
  const certificates = readPem(cert!).filter((block) => block.label === "CERTIFICATE");
  const keys = readPem(key!).filter((block) => block.label !== "CERTIFICATE");
  if (certificates.length === 0 || keys.length !== 1) {
    throw new IdentityError("pem-malformed", `${paths.cert} must hold certificates and ${paths.key} one private key`);
  }
  const chain = certificates.map((block) => block.der);
  const authority = openAuthority(trustDomain, chain[0]!, importPrivateKey(writePem(keys[0]!.label, keys[0]!.der)));
  if (altNamesOf(authority.certificate.extensions)?.uris.some((uri) => uri !== `spiffe://${trustDomain}`)) {
    throw new IdentityError("authority-mismatch", `the issuer in ${paths.cert} is not of ${trustDomain}`);
  }
  const bundle = parseBundle(trustDomain, bundleText!);
  verifyChain(chain, bundle, now);
  const notAfter = Math.min(...chain.map((der) => readCertificate(der).notAfter));
  return { authority, intermediates: chain, bundle, notAfter, version: [cert, bundleText].join("\0") };
}
