import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Peer } from "../exchange.js";

/** Carries the proof beside `l5d-client-id`. Nobody outside can set it: it is a mesh header. */
export const proofHeader = "l5d-client-proof";

// Only this process can say that a peer was verified by this process.
const secret = randomBytes(32);
const proofs = new WeakMap<Peer, string>();

/**
 * Shows that a call came through a port of this mesh. Handlers get nothing but metadata, and a server may also be bound to a
 * port of its own, where anybody can write `l5d-client-id`.
 */
export function proofOf(peer: Peer): string {
  let proof = proofs.get(peer);
  if (proof === undefined) {
    proof = createHmac("sha256", secret).update(peer.toString()).digest("base64url");
    proofs.set(peer, proof);
  }
  return proof;
}

export function isProofOf(peer: Peer, proof: string): boolean {
  const expected = Buffer.from(proofOf(peer));
  const given = Buffer.from(proof);
  return expected.length === given.length && timingSafeEqual(expected, given);
}
