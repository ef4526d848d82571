import type { IdentityReason } from "../identity-error.js";

/** A rule that something breaks. */
export interface InspectionProblem {
  /** An {@link IdentityReason}, or OpenSSL's or Node's code. */
  readonly reason: IdentityReason | (string & {});
  /** What that means, and what to do. */
  readonly text: string;
}

/** What was found out about one certificate, request or bundle. For people and scripts; proves nothing. */
export interface Inspection {
  readonly what: "SVID" | "authority" | "CSR" | "bundle" | "connection";
  /** By name, in the order in which they are worth reading. */
  readonly facts: Readonly<Record<string, string | readonly string[]>>;
  /** Empty: nothing that this package checks is wrong with it. */
  readonly problems: readonly InspectionProblem[];
}

/** What to hold against it. */
export interface InspectionTerms {
  /** Roots to verify chains by: the text of a PEM file or of a bundle document. @defaultValue chains are verified as far as they go */
  readonly bundle?: string;
  /** The id that an SVID has to be for. @defaultValue any */
  readonly expected?: string;
  /** Milliseconds since 1970. @defaultValue `Date.now()` */
  readonly now?: number;
}
