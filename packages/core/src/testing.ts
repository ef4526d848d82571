// Time and chance for the tests of those who build on the mesh. Not for production.

export { ManualClock } from "./testing/manual-clock.js";
export { seededRandom } from "./testing/seeded-random.js";
