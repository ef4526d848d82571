import { isIP } from "node:net";
import { IdentityError } from "./identity-error.js";
import type { TrustBundle } from "./identity-source.js";
import { importPrivateKey } from "./key.js";
import { splitDer } from "./pem.js";
import { bytesField, type ProtoField, readMessage, repeatedField, textField } from "./protobuf.js";
import type { SvidMaterial } from "./snapshot.js";
import { requireTrustDomain, SpiffeId } from "./spiffe-id.js";

/** Path of the streaming call that delivers X.509-SVIDs (SPIFFE Workload API section 5.2.1). */
export const fetchX509SvidPath = "/SpiffeWorkloadAPI/FetchX509SVID";

/** Metadata without which an agent answers nothing (section 4.3): it keeps forged requests of browsers and proxies out. */
export const securityHeader = "workload.spiffe.io";

/** Which SVID to take of several. Both: it has to have both. Neither: the first one, which is the default by specification. */
export interface SvidChoice {
  readonly id?: SpiffeId | undefined;
  /** What the agent's operator calls it, such as `internal`. Of several with the same hint the first one is taken (section 5.2.1). */
  readonly hint?: string | undefined;
}

/**
 * Reads an `X509SVIDResponse` and takes the SVID of `choice` from it. Each message is the whole state: a bundle that is absent is
 * no longer believed. Throws `workload-api`, with what is offered, if the choice is not there: another SVID would be another identity.
 */
export function readX509SvidResponse(message: Uint8Array, choice: SvidChoice): SvidMaterial {
  const fields = readMessage(message);
  const svids = repeatedField(fields, 1).map((bytes) => readMessage(bytes));
  const { id, hint } = choice;
  const chosen = svids.find(
    (svid) =>
      (id === undefined || textField(svid, 1) === id.toString()) && (hint === undefined || textField(svid, 5) === hint),
  );
  if (chosen === undefined) {
    const offered = svids.map(describeSvid).join(", ") || "none";
    const wanted = `for ${id ?? "this workload"}${hint === undefined ? "" : ` with the hint ${JSON.stringify(hint)}`}`;
    throw new IdentityError("workload-api", `the agent has no SVID ${wanted}; it offers: ${offered}`);
  }
  const { trustDomain } = SpiffeId.parse(textField(chosen, 1));
  const bundles = new Map<string, TrustBundle>();
  for (const entry of repeatedField(fields, 3)) addFederated(bundles, readMessage(entry));
  bundles.set(trustDomain, { trustDomain, roots: splitDer(bytesField(chosen, 4)) });
  return { chain: splitDer(bytesField(chosen, 2)), key: importPrivateKey(bytesField(chosen, 3)), bundles };
}

function describeSvid(svid: readonly ProtoField[]): string {
  const hint = textField(svid, 5).slice(0, 100);
  return `${textField(svid, 1).slice(0, 200)}${hint === "" ? "" : ` (hint ${JSON.stringify(hint)})`}`;
}

function addFederated(bundles: Map<string, TrustBundle>, entry: readonly ProtoField[]): void {
  const trustDomain = requireTrustDomain(textField(entry, 1).replace(/^spiffe:\/\//, ""));
  const roots = splitDer(bytesField(entry, 2));
  // An empty bundle is how an agent says that the relation has ended.
  if (roots.length > 0) bundles.set(trustDomain, { trustDomain, roots });
}

/**
 * The gRPC target of a Workload API address (SPIFFE Workload Endpoint section 4): `unix:///path` or `tcp://ip:port`. Throws
 * `source-options`.
 */
export function workloadApiTarget(address: string): string {
  if (/^unix:\/\/\/[^?#]+$/.test(address)) return address;
  const match = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|[0-9.]+):(\d{1,5})$/.exec(address);
  if (match !== null && isIP(match[1]!.replace(/[[\]]/g, "")) !== 0 && Number(match[2]) < 65_536) {
    return `${match[1]!.startsWith("[") ? "ipv6" : "ipv4"}:${match[1]}:${match[2]}`;
  }
  throw new IdentityError(
    "source-options",
    `${JSON.stringify(address)} is no Workload API address: use unix:///path or tcp://ip:port`,
  );
}
