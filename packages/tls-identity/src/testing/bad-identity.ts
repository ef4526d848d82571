import { type BadMaterial, bakeLeaf, type LeafRecipe } from "./bad-leaf.js";
import { type TestTrust, testPeerId } from "./test-trust.js";

/** One peer that must be refused, with the reason. */
export interface BadIdentity {
  readonly name: string;
  /** An `IdentityReason` of the leaf gate, or OpenSSL's code where OpenSSL refuses first. */
  readonly reason: string;
  /** Other reasons that are as good: what OpenSSL says differs by side and version. */
  readonly alternatives?: readonly string[];
  /** On which side of the connection the bad peer stands. */
  readonly role: "client" | "server" | "both";
  /** TLS options that the bad peer uses beside its certificate. */
  readonly tls?: { readonly minVersion?: "TLSv1.2"; readonly maxVersion?: "TLSv1.2" };
  /** What it presents to somebody who holds the bundles of `trust.a` and `trust.b`. Null: no certificate at all. */
  readonly make: (trust: TestTrust) => BadMaterial | null;
}

/** The id that most bad peers pretend to have. */
export const peer = testPeerId.toString();
// "unsupported name syntax", "permitted subtree violation" and the like are all UNSPECIFIED to Node.
const constraint = ["UNSPECIFIED", "ERR_TLS_CERT_ALTNAME_INVALID"];
/** OpenSSL's words for a chain that leads nowhere. */
export const unknown = [
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
];

type Rest = Partial<Pick<BadIdentity, "alternatives" | "role" | "tls">>;

/** A bad peer by its leaf. */
export function leaf(
  name: string,
  reason: string,
  recipe: LeafRecipe | ((trust: TestTrust) => LeafRecipe),
  rest: Rest = {},
): BadIdentity {
  const make = (trust: TestTrust) => bakeLeaf(trust, typeof recipe === "function" ? recipe(trust) : recipe);
  return { role: "both", ...rest, name, reason, make };
}

/** A bad peer by its one URI. */
export function uri(
  name: string,
  reason: string,
  text: string,
  alternatives: readonly string[] = constraint,
): BadIdentity {
  return leaf(name, reason, { uris: [text] }, { alternatives });
}
