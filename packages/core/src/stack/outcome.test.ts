import { transportError } from "@selvage/http2";
import { type Answer, RecordingSink, type ScriptedCall, ScriptedService, TestBody } from "@selvage/http2/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { seededRandom } from "../testing/seeded-random.js";
import { outboundExchange, TestMesh, testRoute } from "../testing/test-mesh.js";

const answers: Record<string, Answer> = {
  ok: { body: "ok" },
  busy: { status: 503 },
  limited: { status: 429, headers: ["retry-after", "1"] },
  unsent: { error: transportError("SELVAGE_ERR_CONNECT", "", "peer", "unsent") },
  reset: { error: transportError("SELVAGE_ERR_RESET", "", "peer") },
  broken: { body: "part", error: transportError("SELVAGE_ERR_CLOSED", "", "peer") },
};

const steps = ["advance", "sleep", "abort", "head", "data", "pause", "resume", "body", "bodyEnd", "update", "empty"];
const step = fc.constantFrom(...steps, ...Object.keys(answers));

test("whatever happens, each exchange has exactly one outcome, and nothing is left behind", () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.constantFrom("GET", "POST"),
      fc.boolean(),
      fc.integer(),
      (script, method, immediate, seed) => {
        const transport = new ScriptedService(() => (immediate ? (answers[script[0]!] ?? null) : null));
        const mesh = new TestMesh(transport, {
          endpoints: ["a:1", "b:1", "c:1"],
          random: seededRandom(seed),
          fallback: testRoute({ limit: 3, perTryTimeoutMs: 150 }, 2_000),
        });
        const body = method === "POST" ? new TestBody() : null;
        const sink = new RecordingSink();
        const x = outboundExchange({ method, body });
        mesh.service.call(x, sink);
        let ended = false;
        for (const name of script) {
          const live = transport.calls.find((call: ScriptedCall) => !call.over);
          if (name === "advance") mesh.clock.advance(60);
          else if (name === "sleep") mesh.clock.advance(4_000);
          else if (name === "abort") x.flow.abort(transportError("SELVAGE_ERR_ABORTED", "gone", "caller"));
          else if (name === "pause") x.flow.pause();
          else if (name === "resume") x.flow.resume();
          else if (name === "update") mesh.resolver.set([{ host: "c", port: 1, identity: null }]);
          else if (name === "empty") mesh.resolver.set([]);
          else if (name === "body" && !ended) body?.push("x".repeat(30_000));
          else if (name === "bodyEnd" && !ended) {
            ended = true;
            body?.end();
          } else if (live !== undefined && answers[name] !== undefined && sink.status === 0)
            live.answer(answers[name]!);
        }
        const over = sink.ended || sink.error !== null;
        mesh.clock.advance(10_000);
        expect(sink.ended || sink.error !== null).toBe(true);
        expect(sink.violations).toEqual([]);
        if (over) expect(transport.calls.every((call) => call.over)).toBe(true);
        for (const endpoint of mesh.target.balancer.endpoints) expect(endpoint.inFlight).toBe(0);
        expect(mesh.metrics.clientActive.with().value).toBe(0);
        const counted = [...mesh.metrics.clientDuration.series()].reduce(
          (sum, { histogram }) => sum + histogram.count,
          0,
        );
        expect(counted).toBe(1);
        const { success, failure, notCounted } = mesh.target.attemptMetrics;
        expect(success.value + failure.value + notCounted.value).toBe(transport.calls.length);
        mesh.target.close();
        mesh.clock.advance(100);
        expect(mesh.wheel.size).toBe(0);
      },
    ),
    { numRuns: 1_000 },
  );
});
