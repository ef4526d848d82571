import { expect, test } from "vitest";
import {
  isAllowedInTrailers,
  isRemovedWhenNominated,
  readFieldName,
  spelledName,
  trainCase,
  writtenName,
} from "./field-name.js";

const read = (text: string, hash: number) => readFieldName(Buffer.from(text, "latin1"), 0, text.length, hash);

test.each([
  ["x-request-id", "X-Request-Id"],
  ["content-type", "Content-Type"],
  ["etag", "ETag"],
  ["www-authenticate", "WWW-Authenticate"],
  ["content-md5", "Content-MD5"],
  ["dnt", "DNT"],
  ["te", "TE"],
  ["sec-websocket-key", "Sec-WebSocket-Key"],
  ["__proto__", "__proto__"],
  ["x--y", "X--Y"],
  ["3d", "3d"],
])("%s is written as %s", (lower, train) => {
  expect(trainCase(lower)).toBe(train);
  expect(writtenName(lower).prefix).toBe(`${train}: `);
});

test("a name in a spelling of its own isn't mixed up with the same name in Train-Case", () => {
  expect([spelledName("x-one").prefix, writtenName("x-one").prefix]).toEqual(["x-one: ", "X-One: "]);
});

test("names that share a place in the cache stay apart", () => {
  expect([read("a-one", 7).lower, read("A-Two", 7).lower, read("a-one", 7).raw]).toEqual(["a-one", "a-two", "a-one"]);
});

test("names that only begin alike stay apart", () => {
  expect([read("x-one", 9).lower, read("x-one-more", 9).lower, read("x-o", 9).lower]).toEqual([
    "x-one",
    "x-one-more",
    "x-o",
  ]);
});

test("what frames, routes or authenticates can neither be a trailer nor be removed by Connection", () => {
  for (const name of [
    "host",
    "content-length",
    "transfer-encoding",
    "authorization",
    "set-cookie",
    "x-forwarded-for",
  ]) {
    expect([isAllowedInTrailers(name), isRemovedWhenNominated(name)]).toEqual([false, false]);
  }
  for (const name of ["x-any", "http2-settings", "grpc-status"]) {
    expect([isAllowedInTrailers(name), isRemovedWhenNominated(name)]).toEqual([true, true]);
  }
});
