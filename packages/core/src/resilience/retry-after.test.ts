import { expect, test } from "vitest";
import { parseRetryAfter } from "./retry-after.js";

const now = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");

test.each([
  ["0", 0],
  ["120", 120_000],
  ["Wed, 21 Oct 2026 07:28:30 GMT", 30_000],
  ["Wed, 21 Oct 2020 07:28:30 GMT", 0],
  ["-1", -1],
  ["1.5", -1],
  ["9999999999", -1],
  ["tomorrow", -1],
  ["", -1],
])("%j asks for %i ms", (value, ms) => {
  expect(parseRetryAfter(value, now)).toBe(ms);
});
