import type { MeshExchange, Service, Sink } from "@selvage/core/spi";

/**
 * The shim's way in for programs that were told of it as their proxy (`HTTP_PROXY`). What they send in absolute form goes on in
 * origin form, since an application expects a path, and with the target's authority as Host, whatever Host said (RFC 9112, sections 3.2.1
 * and 3.2.2). Nothing else is changed.
 */
export class ProxyEntry implements Service {
  readonly #inner: Service;

  constructor(inner: Service) {
    this.#inner = inner;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (x.absoluteForm) {
      x.absoluteForm = false;
      x.headers = withHost(x.headers, x.authority);
    }
    this.#inner.call(x, sink);
  }
}

function withHost(headers: readonly string[], authority: string): readonly string[] {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] !== "host") continue;
    return headers[i + 1] === authority ? headers : headers.with(i + 1, authority);
  }
  return ["host", authority, ...headers];
}
