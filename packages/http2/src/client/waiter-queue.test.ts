import { expect, test } from "vitest";
import { noFlow } from "../exchange.js";
import { transportError } from "../exchange-error.js";
import { RecordingSink } from "../testing/recording-sink.js";
import { ScriptedService } from "../testing/scripted-service.js";
import { exchange } from "../testing/test-exchange.js";
import { Waiter, WaiterQueue } from "./waiter-queue.js";

const reason = transportError("SELVAGE_ERR_ABORTED", "enough", "caller", "unsent");

function waiting(queue: WaiterQueue, path: string) {
  const x = exchange({ path });
  const sink = new RecordingSink();
  queue.push(new Waiter(x, sink));
  return { x, sink };
}

test("waiters leave in the order they came, those aborted excepted", () => {
  const queue = new WaiterQueue();
  const service = new ScriptedService();
  const all = ["/a", "/b", "/c", "/d"].map((path) => waiting(queue, path));
  all[0]!.x.flow.abort(reason);
  all[2]!.x.flow.abort(reason);
  all[2]!.x.flow.abort(reason);
  expect(queue.size).toBe(2);
  for (let w = queue.shift(); w !== null; w = queue.shift()) w.proceed(service);
  expect(service.calls.map((call) => call.x.path)).toEqual(["/b", "/d"]);
  expect(all.map(({ sink }) => sink.error?.code ?? sink.status)).toEqual([reason.code, 200, reason.code, 200]);
  expect(all.flatMap(({ sink }) => sink.violations)).toEqual([]);
});

test("an exchange that was paused while it waited is paused where it goes", () => {
  const queue = new WaiterQueue();
  const service = new ScriptedService(null);
  const paused = waiting(queue, "/paused");
  const resumed = waiting(queue, "/resumed");
  paused.x.flow.pause();
  resumed.x.flow.pause();
  resumed.x.flow.resume();
  queue.shift()?.proceed(service);
  queue.shift()?.proceed(service);
  expect(service.calls.map((call) => call.paused)).toEqual([true, false]);
});

test("failing all is safe against sinks that abort other waiters", () => {
  const queue = new WaiterQueue();
  const first = waiting(queue, "/a");
  const second = waiting(queue, "/b");
  const onError = first.sink.onError.bind(first.sink);
  first.sink.onError = (error) => {
    onError(error);
    second.x.flow.abort(reason);
  };
  const failure = transportError("SELVAGE_ERR_CONNECT", "no", "peer", "unsent");
  queue.failAll(failure);
  expect([first.sink.error, second.sink.error, queue.size, first.x.flow]).toEqual([failure, reason, 0, noFlow]);
});
