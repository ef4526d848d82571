import { transportError } from "@selvage/http2";
import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { AdaptiveLimit } from "../resilience/adaptive-limit.js";
import { ManualClock } from "../testing/manual-clock.js";
import { inboundExchange, type TestRequest } from "../testing/test-mesh.js";
import { LimitLayer } from "./limit.js";

class Fixture {
  readonly clock = new ManualClock();
  readonly exit = new ScriptedService(null);
  readonly limit = new AdaptiveLimit({ min: 1, max: 2 }, () => 0);
  readonly service = new LimitLayer(this.limit, this.clock).wrap(this.exit);

  call(request: TestRequest = {}): RecordingSink {
    const sink = new RecordingSink();
    const x = inboundExchange(request);
    x.startedAt = this.clock.now();
    this.service.call(x, sink);
    return sink;
  }
}

test("beyond the limit there is an error and nothing reaches the application, until there is a head", () => {
  const f = new Fixture();
  f.call();
  f.call();
  const shed = f.call();
  expect([shed.error?.code, shed.error?.status, shed.error?.grpcStatus]).toEqual(["SELVAGE_ERR_SHED", 503, 14]);
  expect(f.exit.calls).toHaveLength(2);
  f.exit.calls[0]!.sink.onHead(200, []);
  expect(f.limit.describe().waiting).toBe(1);
  f.call();
  expect(f.exit.calls).toHaveLength(3);
});

test("a body, however long, and how it ends, are no work", () => {
  const f = new Fixture();
  const sink = f.call();
  f.exit.calls[0]!.sink.onHead(200, []);
  f.clock.advance(3_600_000);
  f.exit.calls[0]!.sink.onData(Buffer.from("x"));
  f.exit.calls[0]!.abort(transportError("SELVAGE_ERR_RESET", "gone"));
  expect(sink.error?.code).toBe("SELVAGE_ERR_RESET");
  expect(f.limit.describe().waiting).toBe(0);
});

test("failures are no measure of how long work takes, and give their place back", () => {
  const f = new Fixture();
  for (let i = 0; i < 300; i++) {
    f.call(i % 3 === 0 ? { method: "POST", headers: ["content-type", "application/grpc"] } : {});
    f.clock.advance(5);
    if (i % 3 === 0) f.exit.calls[i]!.sink.onHead(200, ["grpc-status", "14"]);
    else if (i % 3 === 1) f.exit.calls[i]!.sink.onHead(503, []);
    else f.exit.calls[i]!.abort(transportError("SELVAGE_ERR_CONNECT", "no application"));
  }
  expect(f.limit.describe()).toMatchObject({ waiting: 0, latencyMs: 0 });
});
