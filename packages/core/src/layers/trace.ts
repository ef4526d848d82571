import {
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TextMapGetter,
  type TextMapSetter,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { headerValue } from "../telemetry/classification.js";

/** Finds the tracer of whoever set up OpenTelemetry, `null` when nobody did (yet). */
export type TracerLookup = () => Tracer | null;

/**
 * Spans for exchanges, if the process has an OpenTelemetry SDK: client spans outbound, server spans inbound, with the
 * context injected and extracted by the SDK's propagators. Without one, trace headers pass as they are, at the price of a
 * check.
 */
export class TraceLayer implements Layer {
  readonly name = "trace";
  readonly #lookup: TracerLookup;

  constructor(lookup: TracerLookup = globalTracer) {
    this.#lookup = lookup;
  }

  wrap(inner: Service): Service {
    return new TraceService(inner, this.#lookup);
  }
}

/** The parts of the API's proxy that tell whether there is a real provider behind it. */
interface TracerProxy {
  getDelegateTracer?(name: string): Tracer | undefined;
}

function globalTracer(): Tracer | null {
  const provider = trace.getTracerProvider() as TracerProxy;
  return provider.getDelegateTracer?.("@selvage/core") ?? null;
}

class TraceService implements Service {
  readonly #inner: Service;
  readonly #lookup: TracerLookup;
  #tracer: Tracer | null = null;

  constructor(inner: Service, lookup: TracerLookup) {
    this.#inner = inner;
    this.#lookup = lookup;
  }

  call(x: MeshExchange, sink: Sink): void {
    this.#tracer ??= this.#lookup();
    if (this.#tracer === null) {
      this.#inner.call(x, sink);
      return;
    }
    const outbound = x.direction === "outbound";
    const parent = outbound ? context.active() : propagation.extract(ROOT_CONTEXT, x.headers, getter);
    const span = this.#tracer.startSpan(
      knownMethods.has(x.method) ? x.method : "HTTP",
      { kind: outbound ? SpanKind.CLIENT : SpanKind.SERVER, attributes: requestAttributes(x) },
      parent,
    );
    const inSpan = trace.setSpan(parent, span);
    x.traceContext = inSpan;
    if (outbound) inject(x, inSpan);
    this.#inner.call(x, new TraceSink(x, sink, span));
  }
}

const knownMethods = new Set(["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "CONNECT", "TRACE"]);

function requestAttributes(x: MeshExchange): Record<string, string> {
  const query = x.path.indexOf("?");
  const attributes: Record<string, string> = {
    "http.request.method": knownMethods.has(x.method) ? x.method : "_OTHER",
    "url.path": query < 0 ? x.path : x.path.slice(0, query),
    "url.scheme": x.scheme,
    "network.protocol.version": x.version === "2.0" ? "2" : x.version,
  };
  if (x.authority !== "") attributes["server.address"] = x.authority;
  if (x.peer !== null) attributes["selvage.peer"] = x.peer.toString();
  return attributes;
}

/** The propagator's headers take the place of those that are there. */
function inject(x: MeshExchange, inSpan: Context): void {
  const carrier: string[] = [];
  propagation.inject(inSpan, carrier, setter);
  if (carrier.length === 0) return;
  const headers: string[] = [];
  for (let i = 0; i + 1 < x.headers.length; i += 2) {
    if (headerValue(carrier, x.headers[i]!) === null) headers.push(x.headers[i]!, x.headers[i + 1]!);
  }
  for (const text of carrier) headers.push(text);
  x.headers = headers;
}

const setter: TextMapSetter<string[]> = {
  set(carrier, key, value) {
    carrier.push(key.toLowerCase(), value);
  },
};

const getter: TextMapGetter<HeaderList> = {
  keys: (headers) => headers.filter((_, i) => i % 2 === 0),
  get: (headers, key) => {
    // `tracestate` and `baggage` may come as several lines.
    let all: string | undefined;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (headers[i] === key) all = all === undefined ? headers[i + 1]! : `${all},${headers[i + 1]!}`;
    }
    return all;
  },
};

class TraceSink implements Sink {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  readonly #span: Span;

  constructor(x: MeshExchange, next: Sink, span: Span) {
    this.#x = x;
    this.#next = next;
    this.#span = span;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#span.setAttribute("http.response.status_code", status);
    // A client's 4xx is an error of the span, a server's is not (OpenTelemetry's HTTP conventions).
    if (status >= (this.#x.direction === "outbound" ? 400 : 500)) {
      this.#span.setAttribute("error.type", String(status));
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#end();
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#span.setAttribute("error.type", error.code);
    this.#span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
    this.#end();
    this.#next.onError(error);
  }

  #end(): void {
    const x = this.#x;
    if (x.attempt > 1) this.#span.setAttribute("http.request.resend_count", x.attempt - 1);
    if (x.endpoint !== null) this.#span.setAttribute("network.peer.address", x.endpoint.key);
    this.#span.end();
  }
}
