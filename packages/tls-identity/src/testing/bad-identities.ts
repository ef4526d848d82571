import { badChains, badFederation } from "./bad-chains.js";
import { badEncodings, badForms, badNames, unexpectedIds } from "./bad-forms.js";
import type { BadIdentity } from "./bad-identity.js";

/**
 * Peers that must be refused, by name. For tests that connect as one of them to whatever verifies peers, or are connected to as
 * one of them, while the other side holds a good SVID and the bundles of both test domains.
 */
export const badIdentities: readonly BadIdentity[] = [
  ...badForms,
  ...badNames,
  ...unexpectedIds,
  ...badChains,
  ...badFederation,
  ...badEncodings,
];
