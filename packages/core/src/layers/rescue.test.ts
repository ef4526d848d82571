import { transportError } from "@selvage/http2";
import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import { outboundExchange } from "../testing/test-mesh.js";
import { RescueLayer } from "./rescue.js";

function rescue(x: MeshExchange, error = meshError("SELVAGE_ERR_NO_ENDPOINT", "no endpoint of a")): RecordingSink {
  const sink = new RecordingSink();
  new RescueLayer().wrap(new ScriptedService({ error })).call(x, sink);
  expect(sink.violations).toEqual([]);
  return sink;
}

test("an error before the head becomes a response that names the reason", () => {
  const sink = rescue(outboundExchange());
  expect([sink.status, sink.text, sink.ended]).toEqual([504, "no endpoint of a\n", true]);
  expect(sink.header("content-length")).toBe("17");
  expect(sink.header("l5d-proxy-error")).toBe("no endpoint of a");
});

test("HEAD gets no body", () => {
  const sink = rescue(outboundExchange({ method: "HEAD" }));
  expect([sink.status, sink.text, sink.header("content-length")]).toEqual([504, "", undefined]);
});

test("gRPC gets a status in a head without a body", () => {
  const x = outboundExchange({ method: "POST", headers: ["content-type", "application/grpc+proto"] });
  const sink = rescue(x, meshError("SELVAGE_ERR_DENIED", "50% für\nalle"));
  expect([sink.status, sink.header("grpc-status"), sink.text]).toEqual([200, "7", ""]);
  expect(sink.header("grpc-message")).toBe("50%25 f%C3%BCr%0Aalle");
  expect(sink.header("l5d-proxy-error")).toBe("50% f r alle");
});

test("what a peer sent can't split a header", () => {
  const sink = rescue(outboundExchange(), meshError("SELVAGE_ERR_NO_ENDPOINT", "a\r\nx-forged: 1\0"));
  expect(sink.header("l5d-proxy-error")).toBe("a x-forged: 1 ");
});

test("what the caller gave up stays an error", () => {
  const error = transportError("SELVAGE_ERR_ABORTED", "gone", "caller");
  expect(rescue(outboundExchange(), error).error).toBe(error);
});

test("an error after the head stays an error", () => {
  const sink = new RecordingSink();
  const error = transportError("SELVAGE_ERR_RESET", "reset");
  new RescueLayer().wrap(new ScriptedService({ status: 200, body: "a", error })).call(outboundExchange(), sink);
  expect([sink.status, sink.error, sink.violations]).toEqual([200, error, []]);
});

test("gRPC gets a status in trailers after the head", () => {
  const sink = new RecordingSink();
  const error = meshError("SELVAGE_ERR_DEADLINE", "no end within 300 ms");
  const x = outboundExchange({ method: "POST", headers: ["content-type", "application/grpc"] });
  new RescueLayer().wrap(new ScriptedService({ status: 200, body: "a", error })).call(x, sink);
  expect([sink.status, sink.text, sink.error, sink.violations]).toEqual([200, "a", null, []]);
  const message = ["grpc-status", "4", "grpc-message", "no end within 300 ms"];
  expect(sink.trailers).toEqual([...message, "l5d-proxy-error", "no end within 300 ms"]);
});

test("who gets the head may give up before the body", () => {
  const x = outboundExchange();
  const reason = transportError("SELVAGE_ERR_ABORTED", "gone", "caller");
  const sink = new (class extends RecordingSink {
    override onHead(status: number, headers: readonly string[]): void {
      super.onHead(status, headers);
      x.flow.abort(reason);
    }
  })();
  new RescueLayer().wrap(new ScriptedService({ error: meshError("SELVAGE_ERR_NO_ENDPOINT", "none") })).call(x, sink);
  expect([sink.error, sink.text, sink.violations]).toEqual([reason, "", []]);
});
