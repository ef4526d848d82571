import type { SpiffeId } from "../spiffe-id.js";

/** By what means a caller of the identity service proved who it is. */
export type CallerKind = "jwt" | "kubernetes" | "join-token" | "svid";

/** Who asks for a certificate, as proven. */
export interface Caller {
  readonly kind: CallerKind;
  /** For audit and rate limits. Never the token. */
  readonly subject: string;
  /** What rules can compare: `namespace` and `account` of Kubernetes, the claims that are strings of a JWT. */
  readonly attributes: Readonly<Record<string, string>>;
  /** The one id that the proof itself speaks of; rules are not asked then. */
  readonly entitledTo?: SpiffeId;
  /** Uses the proof up, right before a certificate is made. Throws `token-refused` if it was used before. */
  readonly redeem?: () => Promise<void>;
}

/** Turns a token into a caller. */
export interface Authenticator {
  /** Null if the token is not of this kind. Throws `token-refused` if it is, and is not good. */
  authenticate(token: string, signal: AbortSignal): Promise<Caller | null>;
}
