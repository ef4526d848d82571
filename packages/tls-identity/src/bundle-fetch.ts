import { parseBundleDocument } from "./bundle-document.js";
import { type HttpsGetOptions, httpsGet } from "./https-get.js";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";
import { leafOf } from "./peer-identity.js";
import { writeCertificatesPem } from "./pem.js";
import type { SpiffeId } from "./spiffe-id.js";
import { admitLeaf } from "./verify.js";

/** How a bundle endpoint proves itself (SPIFFE Federation section 5.2). */
export type BundleEndpointProfile =
  /** By a certificate of the public web, for the host of the URL. */
  | { readonly profile: "https_web"; readonly ca?: string }
  /** By an SVID with this id, believed by a bundle of its trust domain that is held already. */
  | { readonly profile: "https_spiffe"; readonly endpointId: SpiffeId; readonly bundle: TrustBundle };

/** A trust domain's bundle endpoint. */
export interface BundleEndpoint {
  /** Whose bundle it serves. */
  readonly trustDomain: string;
  /** `https://…`, without user and fragment. */
  readonly url: string;
  readonly authentication: BundleEndpointProfile;
  /** Longest duration of a fetch. @defaultValue 10000 */
  readonly timeoutMs?: number;
}

const timeoutByDefaultMs = 10_000;
const maxDocumentBytes = 1 << 20;

/**
 * Fetches the bundle of a federated trust domain. Follows no redirect, and reads at most 1 MiB. Throws `bundle-fetch`, or why the
 * document cannot be read. Schedule further fetches by `refreshHintMs`.
 */
export async function fetchBundle(endpoint: BundleEndpoint): Promise<TrustBundle> {
  const url = URL.canParse(endpoint.url) ? new URL(endpoint.url) : null;
  if (url?.protocol !== "https:" || url.username !== "" || url.password !== "" || url.hash !== "") {
    throw new IdentityError("source-options", `${JSON.stringify(endpoint.url)} is no bundle endpoint: use https://…`);
  }
  try {
    const document = await httpsGet(url, {
      tls: authentication(endpoint.authentication),
      timeoutMs: endpoint.timeoutMs ?? timeoutByDefaultMs,
      maxBytes: maxDocumentBytes,
    });
    return parseBundleDocument(endpoint.trustDomain, document);
  } catch (cause) {
    if (IdentityError.is(cause) && cause.reason.startsWith("bundle-")) throw cause;
    const why = (cause as Error).message;
    throw new IdentityError(
      "bundle-fetch",
      `cannot fetch the bundle of ${endpoint.trustDomain} from ${endpoint.url}: ${why}`,
      { cause },
    );
  }
}

function authentication(profile: BundleEndpointProfile): HttpsGetOptions["tls"] {
  if (profile.profile === "https_web")
    return { minVersion: "TLSv1.2", ...(profile.ca !== undefined && { ca: profile.ca }) };
  const { bundle, endpointId } = profile;
  if (bundle.trustDomain !== endpointId.trustDomain) {
    throw new IdentityError("bundle-missing", `the bundle of ${bundle.trustDomain} says nothing about ${endpointId}`);
  }
  return {
    ca: writeCertificatesPem(bundle.roots),
    minVersion: "TLSv1.3",
    servername: "",
    checkServerIdentity: (_host, certificate) => {
      try {
        admitLeaf(leafOf(certificate.raw), { now: Date.now(), expected: endpointId });
        return undefined;
      } catch (error) {
        return error as Error;
      }
    },
  };
}
