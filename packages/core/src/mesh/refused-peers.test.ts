import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { RefusedPeers } from "./refused-peers.js";

function setUp() {
  const counted: string[] = [];
  const logged: unknown[] = [];
  const clock = new ManualClock();
  const log = (level: string, event: string, fields?: object) => logged.push({ level, event, ...fields });
  return { counted, logged, clock, peers: new RefusedPeers((reason) => counted.push(reason), log, clock) };
}

test("each refused peer is counted, each reason is logged at once and then once a minute with its count", () => {
  const { counted, logged, clock, peers } = setUp();
  peers.refuse("leaf-expired", "inbound", "10.0.0.1");
  for (let n = 0; n < 4; n++) peers.refuse("leaf-expired", "inbound", "10.0.0.2");
  peers.refuse("leaf-expired", "outbound", "10.0.0.3:443");
  clock.advance(60_000);
  peers.refuse("leaf-expired", "inbound", "10.0.0.4");
  expect(counted).toEqual(Array(7).fill("peer leaf-expired"));
  const event = { level: "warn", event: "identity.peer-refused", reason: "leaf-expired" };
  expect(logged).toEqual([
    { ...event, side: "inbound", address: "10.0.0.1", count: 1 },
    { ...event, side: "outbound", address: "10.0.0.3:443", count: 1 },
    { ...event, side: "inbound", address: "10.0.0.4", count: 5 },
  ]);
});

test("who leaves in the middle of a handshake is counted, and no refused peer", () => {
  const { counted, logged, peers } = setUp();
  for (const reason of ["ECONNRESET", "EPIPE"]) peers.refuse(reason, "inbound", "10.0.0.1");
  for (const reason of ["EE_KEY_TOO_SMALL", "ERR_SSL_EVP_LIB"]) peers.refuse(reason, "inbound", "10.0.0.1");
  expect(counted).toHaveLength(4);
  expect(logged).toMatchObject([{ reason: "EE_KEY_TOO_SMALL" }, { reason: "ERR_SSL_EVP_LIB" }]);
});

test("what is logged has an end, whatever reasons there are", () => {
  const { counted, logged, peers } = setUp();
  for (let n = 0; n < 1000; n++) peers.refuse(`reason-${n}`, "inbound", "10.0.0.1");
  expect([counted.length, logged.length]).toEqual([1000, 200]);
});
