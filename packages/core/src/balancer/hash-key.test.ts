import { expect, test } from "vitest";
import { HashKey, hashText, noKey } from "./hash-key.js";

const whole = (text: string) => hashText(text, 0, text.length);

test.each<[string[], string | null]>([
  [["x-user", "ann"], "ann"],
  [["a", "x-user", "x-user", "bob", "x-user", "ann"], "bob"],
  [["x-user", ""], null],
  [["x-users", "ann"], null],
  [[], null],
])("the header of %j has the key %j", (headers, value) => {
  const key = new HashKey({ by: "header", name: "x-user", maxLoad: 1.5 });
  expect(key.of(headers)).toBe(value === null ? noKey : whole(value));
});

test.each<[string[], string | null]>([
  [["cookie", "session=7"], "7"],
  [["cookie", "a=1; session=7; b=2"], "7"],
  [["cookie", "a=1;session=a=b"], "a=b"],
  [["cookie", "a=1", "cookie", "session=7"], "7"],
  [["cookie", "xsession=1; session2=2; Session=3; session"], null],
  [["cookie", "session=; a=1"], null],
  [["cookie", ""], null],
  [["session", "7"], null],
])("the cookie of %j has the key %j", (headers, value) => {
  const key = new HashKey({ by: "cookie", name: "session", maxLoad: 1.5 });
  expect(key.of(headers)).toBe(value === null ? noKey : whole(value));
});

test("hashes are the same everywhere, and of 32 bits", () => {
  expect([whole("ann"), whole("bob"), whole("")]).toEqual([2778018533, 4183353430, 2872998923]);
});
