import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { ManualClock } from "../testing/manual-clock.js";
import { inboundExchange, type TestRequest } from "../testing/test-mesh.js";
import { maxProbesInFlight, maxProbesPerSecond, ProbesLayer } from "./probes.js";

class Fixture {
  readonly clock = new ManualClock();
  readonly past = new ScriptedService(null);
  readonly inner = new ScriptedService(null);
  readonly service = new ProbesLayer(["/healthz"], this.past, this.clock).wrap(this.inner);

  /** Which way it went. */
  call(request: TestRequest): "past" | "inner" {
    const before = this.past.calls.length;
    this.service.call(inboundExchange(request), new RecordingSink());
    return this.past.calls.length > before ? "past" : "inner";
  }
}

const grpc = ["content-type", "application/grpc"];

test.each<[TestRequest, "past" | "inner"]>([
  [{ path: "/healthz" }, "past"],
  [{ method: "HEAD", path: "/healthz" }, "past"],
  [{ method: "POST", path: "/healthz" }, "inner"],
  [{ path: "/healthz/" }, "inner"],
  [{ path: "/healthz?x" }, "inner"],
  [{ method: "POST", path: "/grpc.health.v1.Health/Check", headers: grpc }, "past"],
  [{ method: "POST", path: "/grpc.health.v1.Health/Check" }, "inner"],
  [{ method: "POST", path: "/grpc.health.v1.Health/Watch", headers: grpc }, "inner"],
])("%o goes %s", (request, way) => {
  expect(new Fixture().call(request)).toBe(way);
});

test("not more at a time than a platform needs: the rest are requests like others", () => {
  const f = new Fixture();
  for (let i = 0; i < maxProbesInFlight; i++) expect(f.call({ path: "/healthz" })).toBe("past");
  expect(f.call({ path: "/healthz" })).toBe("inner");
  f.past.calls[3]!.answer({});
  expect(f.call({ path: "/healthz" })).toBe("past");
  expect(f.call({ path: "/healthz" })).toBe("inner");
});

test("nor more a second", () => {
  const f = new Fixture();
  const count = () => {
    let passed = 0;
    while (f.call({ path: "/healthz" }) === "past") {
      passed++;
      f.past.calls.at(-1)!.answer({});
    }
    return passed;
  };
  expect(count()).toBe(maxProbesPerSecond);
  f.clock.advance(100);
  expect(count()).toBe(maxProbesPerSecond / 10);
  f.clock.advance(60_000);
  expect(count()).toBe(maxProbesPerSecond);
});
