import { expect, test } from "vitest";
import { Exchange } from "../exchange.js";
import { http1Defaults, resolveHttp1 } from "./limits.js";

test("no options give the defaults, frozen", () => {
  const config = resolveHttp1();
  expect(config.limits).toEqual(http1Defaults);
  expect([Object.isFrozen(config), Object.isFrozen(config.limits)]).toEqual([true, true]);
  expect(config.newExchange()).toBeInstanceOf(Exchange);
  expect([config.scheme, config.allowHalfClose]).toEqual(["http", false]);
});

test("options replace defaults, and timeouts may be infinite", () => {
  const { limits } = resolveHttp1({ maxHeadBytes: 100, idleTimeoutMs: Number.POSITIVE_INFINITY });
  expect(limits).toEqual({ ...http1Defaults, maxHeadBytes: 100, idleTimeoutMs: Number.POSITIVE_INFINITY });
});

test.each([
  [{ maxHeadBytes: -1 }, "http1.maxHeadBytes must be a whole number, 0 or more, got -1"],
  [{ maxFields: 1.5 }, "http1.maxFields must be a whole number, 0 or more, got 1.5"],
  [{ maxFields: Number.POSITIVE_INFINITY }, "http1.maxFields must be a whole number, 0 or more, got Infinity"],
  [{ headTimeoutMs: Number.NaN }, "http1.headTimeoutMs must be milliseconds, 0 or more, or Infinity, got NaN"],
])("%j is refused, by name", (options, message) => {
  expect(() => resolveHttp1(options)).toThrow(message);
});

test("allowHalfClose is true or false", () => {
  expect(resolveHttp1({ allowHalfClose: true }).allowHalfClose).toBe(true);
  expect(() => resolveHttp1({ allowHalfClose: 1 as unknown as boolean })).toThrow(
    "http1.allowHalfClose must be true or false, got 1",
  );
});
