import { issueLeaf } from "../authority.js";
import { parseDer } from "../der.js";
import type { IdentitySource } from "../identity-source.js";
import { exportSpki, generateKey } from "../key.js";
import { createRotation } from "../rotation.js";
import type { SpiffeId } from "../spiffe-id.js";
import type { IdentityService } from "./identity-service.js";

/** An hour: who may sign for itself has no reason to sign for long. */
export const ownLifetimeDefaultMs = 3_600_000;

/** Who an identity service itself is: SVIDs that its own issuer signs, and another one whenever the issuer changes. */
export function ownIdentity(
  service: IdentityService,
  id: SpiffeId,
  lifetimeMs: number = ownLifetimeDefaultMs,
): IdentitySource {
  const own = createRotation({
    expected: id,
    obtain: async () => {
      const { authority, bundle, intermediates } = service.issuer!;
      const key = generateKey();
      const leaf = issueLeaf(authority, id, parseDer(exportSpki(key.publicKey), 512), { now: Date.now(), lifetimeMs });
      return { chain: [leaf, ...intermediates], key: key.privateKey, bundles: new Map([[id.trustDomain, bundle]]) };
    },
  });
  const endIssuer = service.onIssuer(() => own.renew());
  return {
    get current() {
      return own.current;
    },
    ready: () => own.ready(),
    subscribe: (listener) => own.subscribe(listener),
    onFailure: (listener) => own.onFailure(listener),
    close: () => {
      endIssuer();
      own.close();
    },
  };
}
