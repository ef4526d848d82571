import { isExchangeError, transportError, transportErrors } from "@selvage/http2";
import { expect, test } from "vitest";
import { errorReason, isMeshError, isOwnError, meshError, meshErrors } from "./errors.js";

test("a code has its status, its gRPC status and no stack", () => {
  const error = meshError("SELVAGE_ERR_RATE_LIMITED", "too many");
  expect(error).toMatchObject({ status: 429, grpcStatus: 8, origin: "local", progress: "unsent", message: "too many" });
  expect(error.stack).not.toContain("\n");
  expect([isMeshError(error), isExchangeError(error), isMeshError(new Error("x"))]).toEqual([true, true, false]);
});

test("codes of the mesh and of the engine are different, and each has a reason of its own", () => {
  const codes = [...Object.keys(meshErrors), ...Object.keys(transportErrors)];
  expect(new Set(codes.map(errorReason)).size).toBe(codes.length);
  expect(errorReason("SELVAGE_ERR_PER_TRY_TIMEOUT")).toBe("per_try_timeout");
  expect(errorReason("toString")).toBe("_other");
});

test("what the mesh decided is told from what the engine met", () => {
  expect(isOwnError(meshError("SELVAGE_ERR_DENIED", ""))).toBe(true);
  expect(isOwnError(transportError("SELVAGE_ERR_RESET", ""))).toBe(false);
});
