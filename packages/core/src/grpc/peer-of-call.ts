import type { MetadataValue } from "@grpc/grpc-js";
import { SpiffeId } from "@selvage/tls-identity";
import type { Peer } from "../exchange.js";
import { isProofOf, proofHeader } from "./peer-proof.js";

/** The part that all calls of grpc-js handlers have in common. */
export interface ServedCall {
  readonly metadata: { get(key: string): MetadataValue[] };
}

/**
 * Who makes a call, as proven by the connection it came on; null for a call without a verified peer, and for calls that did not come
 * by `serveGrpc` of this process, whatever their metadata says.
 */
export function peerOfCall(call: ServedCall): Peer | null {
  const [id] = call.metadata.get("l5d-client-id");
  const [proof] = call.metadata.get(proofHeader);
  if (typeof id !== "string" || typeof proof !== "string") return null;
  const peer = SpiffeId.tryParse(id);
  return peer !== null && isProofOf(peer, proof) ? peer : null;
}
