import type { ExchangeError, Flow, HeaderList, Service, Sink } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { isGrpcRequest } from "../telemetry/classification.js";

/** Reasons that say nothing about what is behind, for those who need not know. */
const publicReasons: Readonly<Record<number, string>> = Object.freeze({
  400: "bad request",
  403: "forbidden",
  404: "not found",
  429: "too many requests",
  431: "request too large",
  502: "bad gateway",
  503: "service unavailable",
  504: "gateway timeout",
});

/**
 * Answers exchanges that failed before they had a head, so that applications get a response that names the reason
 * (`l5d-proxy-error`, and one line of text), as from Linkerd's proxies; gRPC requests get a gRPC status, after their head in
 * trailers. What else fails after its head, and what the caller gave up, goes on as an error. Reasons are told to this workload's
 * own application, to verified peers and to loopback; others get what the status says.
 */
export class RescueLayer implements Layer {
  readonly name = "rescue";

  wrap(inner: Service): Service {
    return new RescueService(inner);
  }
}

class RescueService implements Service {
  readonly #inner: Service;

  constructor(inner: Service) {
    this.#inner = inner;
  }

  call(x: MeshExchange, sink: Sink): void {
    this.#inner.call(x, new RescueSink(x, sink));
  }
}

class RescueSink implements Sink, Flow {
  readonly #x: MeshExchange;
  readonly #next: Sink;
  #hasHead = false;
  #ended = false;

  constructor(x: MeshExchange, next: Sink) {
    this.#x = x;
    this.#next = next;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#hasHead = true;
    this.#next.onHead(status, headers);
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    const x = this.#x;
    if (error.origin === "caller" && error.code === "SELVAGE_ERR_ABORTED") this.#next.onError(error);
    else if (isGrpcRequest(x.method, x.headers)) {
      if (this.#hasHead) this.#next.onEnd(grpcStatus(x, error));
      else this.#answerGrpc(error);
    } else if (this.#hasHead) this.#next.onError(error);
    else this.#answerHttp(error);
  }

  /** As the flow of its own response: whoever gets the head may still give up. */
  abort(reason: ExchangeError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#next.onError(reason);
  }

  pause(): void {}

  resume(): void {}

  #answerHttp(error: ExchangeError): void {
    const x = this.#x;
    const text = reason(x, error);
    const headers = ["content-type", "text/plain; charset=utf-8", "l5d-proxy-error", headerText(text)];
    if (x.retryAfterSeconds > 0) headers.push("retry-after", String(x.retryAfterSeconds));
    x.flow = this;
    if (x.method === "HEAD") {
      this.#next.onHead(error.status, headers);
    } else {
      const body = Buffer.from(`${text}\n`);
      headers.push("content-length", String(body.length));
      this.#next.onHead(error.status, headers);
      if (!this.#ended) this.#next.onData(body);
    }
    this.#end();
  }

  #answerGrpc(error: ExchangeError): void {
    const x = this.#x;
    x.flow = this;
    this.#next.onHead(200, ["content-type", "application/grpc", "content-length", "0", ...grpcStatus(x, error)]);
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#next.onEnd(null);
  }
}

/** For trailers, or for a head without a body. */
function grpcStatus(x: MeshExchange, error: ExchangeError): HeaderList {
  const text = reason(x, error);
  const message = percentEncoded(text);
  return ["grpc-status", String(error.grpcStatus), "grpc-message", message, "l5d-proxy-error", headerText(text)];
}

function reason(x: MeshExchange, error: ExchangeError): string {
  if (x.direction === "outbound" || x.peer !== null || isLoopback(x.connection?.remoteAddress)) return error.message;
  return publicReasons[error.status] ?? "internal error";
}

function isLoopback(address: string | undefined): boolean {
  return (
    address !== undefined && (address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127."))
  );
}

/** Messages quote what peers sent: only what a header may hold gets in. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 1_000);
}

/** As gRPC wants `grpc-message`: UTF-8, with all but visible ASCII percent-encoded. */
function percentEncoded(text: string): string {
  return text.slice(0, 1_000).replace(/[^\x20-\x24\x26-\x7e]+/gu, (part) => {
    let encoded = "";
    for (const byte of Buffer.from(part)) encoded += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
    return encoded;
  });
}
