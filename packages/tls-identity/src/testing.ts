export { type BadIdentity, badIdentities } from "./testing/bad-identities.js";
export { type BadMaterial, bakeLeaf, type LeafRecipe } from "./testing/bad-leaf.js";
export {
  createTestDomain,
  createTestTrust,
  type TestDomain,
  type TestSvidOptions,
  type TestTrust,
  testPeerId,
} from "./testing/test-trust.js";
