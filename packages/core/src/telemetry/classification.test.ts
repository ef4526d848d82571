import { expect, test } from "vitest";
import { grpcStatusOf, isFailure, isGrpcRequest, noGrpcStatus } from "./classification.js";

test("HTTP fails from 500, gRPC by Linkerd's list of statuses and without a status", () => {
  expect([200, 404, 429, 499, 500, 503].filter((status) => isFailure(status, false, noGrpcStatus))).toEqual([500, 503]);
  const statuses = Array.from({ length: 17 }, (_, i) => i);
  expect(statuses.filter((status) => isFailure(200, true, status))).toEqual([2, 4, 7, 13, 14, 15]);
  expect(isFailure(200, true, noGrpcStatus)).toBe(true);
});

test.each([
  ["0", 0],
  ["16", 16],
  ["17", 2],
  ["-1", 2],
  ["", 2],
  ["1.5", 2],
  ["014", 2],
])("grpc-status %j is read as %i", (value, status) => {
  expect(grpcStatusOf(["a", "b", "grpc-status", value])).toBe(status);
});

test("no trailers and trailers without a status have none", () => {
  expect(grpcStatusOf(null)).toBe(noGrpcStatus);
  expect(grpcStatusOf(["a", "b"])).toBe(noGrpcStatus);
});

test.each([
  ["POST", "application/grpc", true],
  ["POST", "application/grpc+proto", true],
  ["POST", "application/grpc;charset=utf-8", true],
  ["POST", "application/grpc-web", false],
  ["POST", "application/json", false],
  ["GET", "application/grpc", false],
])("%s with %s: gRPC is %s", (method, type, expected) => {
  expect(isGrpcRequest(method, ["content-type", type])).toBe(expected);
});
