import type { HeaderList, Service, Sink } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";

/** What OpenTelemetry's propagators write: W3C, B3 and Jaeger. */
const traceHeaders: ReadonlySet<string> = new Set([
  "traceparent",
  "tracestate",
  "baggage",
  "b3",
  "x-b3-traceid",
  "x-b3-spanid",
  "x-b3-parentspanid",
  "x-b3-sampled",
  "x-b3-flags",
  "uber-trace-id",
]);

/**
 * Takes trace context out of requests that leave the mesh, whoever set it: baggage may hold anything that a service thought was
 * among friends. Only in the stacks of endpoints outside.
 */
export class WithholdTraceLayer implements Layer {
  readonly name = "withholdTrace";

  wrap(inner: Service): Service {
    return new WithholdTraceService(inner);
  }
}

class WithholdTraceService implements Service {
  readonly #inner: Service;

  constructor(inner: Service) {
    this.#inner = inner;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { headers } = x;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (traceHeaders.has(headers[i]!)) {
        x.headers = withoutTrace(headers);
        break;
      }
    }
    this.#inner.call(x, sink);
  }
}

function withoutTrace(headers: HeaderList): HeaderList {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!traceHeaders.has(headers[i]!)) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}
