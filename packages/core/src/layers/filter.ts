import type { ExchangeError, Flow, HeaderList, Service, Sink } from "@selvage/http2";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import type { HeaderFilter } from "../router/header-filter.js";
import { Mirror, type MirrorParts } from "./mirror.js";

/**
 * Applies the filters of the exchange's route, once, whatever is retried below: answers redirects itself, rewrites, changes headers,
 * and sends copies. What the mesh answers in place of a peer (errors) is not changed.
 */
export class FilterLayer implements Layer {
  readonly name = "filter";
  readonly #parts: MirrorParts;

  constructor(parts: MirrorParts) {
    this.#parts = parts;
  }

  wrap(inner: Service): Service {
    return new FilterService(inner, new Mirror(inner, this.#parts));
  }
}

class FilterService implements Service {
  readonly #inner: Service;
  readonly #mirror: Mirror;

  constructor(inner: Service, mirror: Mirror) {
    this.#inner = inner;
    this.#mirror = mirror;
  }

  call(x: MeshExchange, sink: Sink): void {
    const filters = x.route!.filters ?? null;
    if (filters === null) {
      this.#inner.call(x, sink);
      return;
    }
    const { requestHeaders, responseHeaders, redirect, rewrite, mirror } = filters;
    const next = responseHeaders === null ? sink : new ResponseHeaderSink(sink, responseHeaders);
    const location = redirect === null ? null : redirect.location(x);
    if (location !== null) {
      x.body?.cancel();
      new RedirectAnswer(x, next).send(redirect!.config.status, location);
      return;
    }
    if (rewrite !== null) rewrite.apply(x);
    if (requestHeaders !== null) x.headers = requestHeaders.apply(x.headers);
    if (mirror === null) this.#inner.call(x, next);
    else this.#mirror.call(x, next, mirror);
  }
}

class ResponseHeaderSink implements Sink {
  readonly #next: Sink;
  readonly #filter: HeaderFilter;

  constructor(next: Sink, filter: HeaderFilter) {
    this.#next = next;
    this.#filter = filter;
  }

  onInformational(status: number, headers: HeaderList): void {
    this.#next.onInformational(status, headers);
  }

  onHead(status: number, headers: HeaderList): void {
    this.#next.onHead(status, this.#filter.apply(headers));
  }

  onData(chunk: Uint8Array): void {
    this.#next.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#next.onEnd(trailers);
  }

  onError(error: ExchangeError): void {
    this.#next.onError(error);
  }
}

class RedirectAnswer implements Flow {
  readonly #x: MeshExchange;
  readonly #sink: Sink;
  #ended = false;

  constructor(x: MeshExchange, sink: Sink) {
    this.#x = x;
    this.#sink = sink;
  }

  send(status: number, location: string): void {
    this.#x.flow = this;
    this.#sink.onHead(status, ["location", location, "content-length", "0"]);
    if (this.#ended) return;
    this.#ended = true;
    this.#sink.onEnd(null);
  }

  abort(reason: ExchangeError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#sink.onError(reason);
  }

  pause(): void {}

  resume(): void {}
}
