import { expect, test } from "vitest";
import { transportError } from "../exchange-error.js";
import { RecordingSink } from "./recording-sink.js";
import { ScriptedService } from "./scripted-service.js";
import { TestBody } from "./test-body.js";
import { exchange } from "./test-exchange.js";

const call = (service: ScriptedService, x = exchange()) => {
  const sink = new RecordingSink();
  service.call(x, sink);
  return sink;
};

test("a scripted answer reaches the sink in order", async () => {
  const service = new ScriptedService({
    informational: [{ status: 103, headers: ["link", "</a>"] }],
    status: 201,
    headers: ["a", "1", "a", "2"],
    body: "hello",
    trailers: ["t", "x"],
  });
  const sink = await call(service).done;
  expect(sink.informational).toEqual([{ status: 103, headers: ["link", "</a>"] }]);
  expect([sink.status, sink.header("a"), sink.text, sink.trailers]).toEqual([201, "1, 2", "hello", ["t", "x"]]);
  expect(sink.violations).toEqual([]);
});

test("an unanswered call can be answered later, once", async () => {
  const service = new ScriptedService(null);
  const sink = call(service, exchange({ body: "abc" }));
  const taken = await service.next();
  expect((await taken.body).toString()).toBe("abc");
  expect(sink.status).toBe(0);
  taken.answer({ body: "late" });
  taken.answer({ body: "again" });
  expect((await sink.done).text).toBe("late");
  expect(sink.violations).toEqual([]);
});

test("an echo sends the body back as it comes, trailers too", async () => {
  const body = new TestBody();
  const sink = call(new ScriptedService({ echo: true }), exchange({ body }));
  body.push("a");
  body.push("b");
  expect(sink.text).toBe("ab");
  body.end(["t", "1"]);
  expect((await sink.done).trailers).toEqual(["t", "1"]);
});

test("aborting makes the terminal call with the reason, and cancels the body", async () => {
  const body = new TestBody();
  const x = exchange({ body });
  const sink = call(new ScriptedService(null), x);
  const reason = transportError("SELVAGE_ERR_ABORTED", "enough", "caller");
  x.flow.abort(reason);
  x.flow.abort(reason);
  expect([sink.error, body.cancelled, sink.violations]).toEqual([reason, true, []]);
});

test("a sink that is called after its terminal call says so", () => {
  const sink = new RecordingSink();
  sink.onData(Buffer.from("x"));
  sink.onHead(200, []);
  sink.onEnd(null);
  sink.onEnd(null);
  expect(sink.violations).toEqual(["onData out of order", "onEnd after the terminal call"]);
});
