import { type MeshExchange, ServedTunnel, type Service, type Sink } from "@selvage/core/spi";

/** What CONNECT to a service of the mesh needs. */
export interface Tunnels {
  /** Whether the mesh has a service of that authority. */
  isService(authority: string): boolean;
  /** Takes what is inside a tunnel as a connection of the program's. */
  accept(tunnel: ServedTunnel): void;
}

/**
 * The shim's way in for programs that were told of it as their proxy (`HTTP_PROXY`). What they send in absolute form goes on in
 * origin form, since an application expects a path, and with the target's authority as Host, whatever Host said (RFC 9112, sections 3.2.1
 * and 3.2.2).
 *
 * CONNECT to a service of the mesh is answered here: inside is plain HTTP, as on the outbound port itself. Other tunnels go on,
 * and out if egress allows it. Nothing else is changed.
 */
export class ProxyEntry implements Service {
  readonly #inner: Service;
  readonly #tunnels: Tunnels;

  constructor(inner: Service, tunnels: Tunnels) {
    this.#inner = inner;
    this.#tunnels = tunnels;
  }

  call(x: MeshExchange, sink: Sink): void {
    if (x.absoluteForm) {
      x.absoluteForm = false;
      x.headers = withHost(x.headers, x.authority);
      // Only CONNECT has no path.
    } else if (x.path === "" && x.tunnel && this.#tunnels.isService(x.authority)) {
      this.#tunnels.accept(new ServedTunnel(x, sink));
      return;
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
