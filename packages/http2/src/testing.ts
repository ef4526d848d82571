// Fakes for the tests of those who build on the engine. Not for production.

export { duplexPair } from "./testing/duplex-pair.js";
export { RecordingSink } from "./testing/recording-sink.js";
export { type Answer, ScriptedCall, ScriptedService } from "./testing/scripted-service.js";
export { TestBody } from "./testing/test-body.js";
export { exchange, type TestExchange } from "./testing/test-exchange.js";
