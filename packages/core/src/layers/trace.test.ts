import {
  type Context,
  propagation,
  type Span,
  SpanKind,
  type SpanOptions,
  SpanStatusCode,
  type TextMapPropagator,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { transportError } from "@selvage/http2";
import { RecordingSink, ScriptedService } from "@selvage/http2/testing";
import { afterEach, expect, test } from "vitest";
import { inboundExchange, outboundExchange } from "../testing/test-mesh.js";
import { TraceLayer } from "./trace.js";

class FakeSpan {
  readonly attributes: Record<string, unknown> = {};
  status: unknown = null;
  ends = 0;

  setAttribute(name: string, value: unknown): this {
    this.attributes[name] = value;
    return this;
  }

  setStatus(status: { code: SpanStatusCode }): this {
    this.status = status.code;
    return this;
  }

  end(): void {
    this.ends++;
  }
}

function fixture() {
  const spans: { name: string; options: SpanOptions; parent: Context | undefined; span: FakeSpan }[] = [];
  const tracer = {
    startSpan(name: string, options: SpanOptions, parent?: Context): Span {
      const span = new FakeSpan();
      spans.push({ name, options, parent, span });
      return span as unknown as Span;
    },
  } as Tracer;
  return { spans, layer: new TraceLayer(() => tracer) };
}

const key = Symbol("test");
const propagator: TextMapPropagator = {
  inject: (_context, carrier, setter) => setter.set(carrier, "Traceparent", "00-ours"),
  extract: (context, carrier, getter) => context.setValue(key, getter.get(carrier, "tracestate")),
  fields: () => ["traceparent"],
};

afterEach(() => propagation.disable());

test("without an SDK headers pass as they are, and nothing is added", () => {
  const inner = new ScriptedService({ body: "ok" });
  const sink = new RecordingSink();
  const headers = ["traceparent", "00-a-b-01"];
  new TraceLayer().wrap(inner).call(outboundExchange({ headers }), sink);
  expect(inner.calls[0]!.x.headers).toBe(headers);
  expect(inner.calls[0]!.sink).toBe(sink);
});

test("an outbound exchange is a client span, whose context takes the place of the application's", () => {
  propagation.setGlobalPropagator(propagator);
  const { spans, layer } = fixture();
  const inner = new ScriptedService({ status: 404 });
  const x = outboundExchange({ path: "/a?secret=1", headers: ["traceparent", "00-old", "a", "b"] });
  layer.wrap(inner).call(x, new RecordingSink());
  expect(inner.calls[0]!.x.headers).toEqual(["a", "b", "traceparent", "00-ours"]);
  expect(spans[0]).toMatchObject({ name: "GET", options: { kind: SpanKind.CLIENT } });
  expect(spans[0]!.options.attributes).toMatchObject({ "url.path": "/a", "server.address": "test.example" });
  expect(spans[0]!.span).toMatchObject({ ends: 1, status: SpanStatusCode.ERROR });
  expect(spans[0]!.span.attributes["http.response.status_code"]).toBe(404);
});

test("an inbound exchange is a server span within the caller's, and the application runs in it", () => {
  propagation.setGlobalPropagator(propagator);
  const { spans, layer } = fixture();
  const x = inboundExchange({ method: "BREW", headers: ["tracestate", "a=1", "tracestate", "b=2"] });
  layer.wrap(new ScriptedService({ status: 404 })).call(x, new RecordingSink());
  expect(spans[0]).toMatchObject({ name: "HTTP", options: { kind: SpanKind.SERVER }, span: { ends: 1, status: null } });
  expect(spans[0]!.parent?.getValue(key)).toBe("a=1,b=2");
  expect(trace.getSpan(x.traceContext as Context)).toBe(spans[0]!.span);
});

test("a span ends once with an error, and knows the attempts", () => {
  const { spans, layer } = fixture();
  const x = outboundExchange();
  x.attempt = 3;
  layer.wrap(new ScriptedService({ error: transportError("SELVAGE_ERR_RESET", "reset") })).call(x, new RecordingSink());
  expect(spans[0]!.span).toMatchObject({
    ends: 1,
    attributes: { "error.type": "SELVAGE_ERR_RESET", "http.request.resend_count": 2 },
  });
});
