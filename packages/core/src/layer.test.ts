import type { Exchange, Service, Sink } from "@selvage/http2";
import { exchange, RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { expect, test } from "vitest";
import { describe, type Layer, stack } from "./layer.js";

test("the first layer is the outermost, in the description and for requests", () => {
  const met: string[] = [];
  const layer = (name: string): Layer => ({
    name,
    wrap: (inner): Service => ({
      call(x: Exchange, sink: Sink): void {
        met.push(name);
        inner.call(x, sink);
      },
    }),
  });
  const layers = [layer("a"), layer("b"), layer("c")];
  const inner = new ScriptedService();
  stack(layers, inner).call(exchange(), new RecordingSink());
  expect(met.join(" → ")).toBe(describe(layers));
  expect(met).toEqual(["a", "b", "c"]);
  expect(inner.calls).toHaveLength(1);
});
