export { badIdentities } from "./testing/bad-identities.js";
export type { BadIdentity } from "./testing/bad-identity.js";
export { type BadMaterial, bakeLeaf, type LeafRecipe } from "./testing/bad-leaf.js";
export { type FakeAgent, startFakeAgent, writeX509SvidResponse } from "./testing/fake-agent.js";
export { type RawPeer, type Verdict, verdictOfClient, verdictOfServer } from "./testing/handshake.js";
export { createTestClock, type TestClock } from "./testing/test-clock.js";
export {
  createTestDomain,
  createTestTrust,
  type TestDomain,
  type TestSvidOptions,
  type TestTrust,
  testPeerId,
} from "./testing/test-trust.js";
export { startWebServer, type WebServer } from "./testing/web-server.js";
