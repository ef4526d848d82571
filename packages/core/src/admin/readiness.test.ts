import { expect, test } from "vitest";
import { Readiness } from "./readiness.js";

test("is ready when nothing blocks, and names what does", () => {
  const readiness = new Readiness();
  expect(readiness.ready).toBe(true);
  const identity = readiness.block("identity: no SVID yet");
  const drain = readiness.block("draining");
  expect(readiness.ready).toBe(false);
  expect(readiness.blockers).toEqual(["identity: no SVID yet", "draining"]);
  identity();
  identity();
  expect(readiness.blockers).toEqual(["draining"]);
  drain();
  expect(readiness.ready).toBe(true);
});

test("two blockers of one name are two", () => {
  const readiness = new Readiness();
  const first = readiness.block("listener");
  readiness.block("listener");
  first();
  expect(readiness.blockers).toEqual(["listener"]);
});
