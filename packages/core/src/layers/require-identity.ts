import type { Service, Sink } from "@selvage/http2";
import type { EndpointTransport } from "../balancer/endpoint.js";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { refuse } from "./refuse.js";

/**
 * Refuses attempts on an endpoint whose transport does not demand the identity that discovery gives, or that the
 * application asked for (`l5d-require-id`). The transport proves it, in the handshake of each connection; this layer sees to it
 * that no request gets to a transport that doesn't, and that none that was meant to be encrypted (`https:`) is sent plain.
 */
export class RequireIdentityLayer implements Layer {
  readonly name = "requireIdentity";
  readonly #expected: string | null;
  readonly #transport: EndpointTransport;

  constructor(expected: string | null, transport: EndpointTransport) {
    this.#expected = expected;
    this.#transport = transport;
  }

  wrap(inner: Service): Service {
    return new RequireIdentityService(inner, this.#expected, this.#transport);
  }
}

class RequireIdentityService implements Service {
  readonly #inner: Service;
  readonly #expected: string | null;
  readonly #transport: EndpointTransport;

  constructor(inner: Service, expected: string | null, transport: EndpointTransport) {
    this.#inner = inner;
    this.#expected = expected;
    this.#transport = transport;
  }

  call(x: MeshExchange, sink: Sink): void {
    const enforced = this.#transport.enforcedIdentity;
    if (this.#expected !== null && enforced !== this.#expected) {
      const text = `${x.endpoint?.key ?? "the endpoint"} must prove to be ${this.#expected}, and its connections ${demand(enforced)}`;
      refuse(x, sink, meshError("SELVAGE_ERR_IDENTITY", text, "peer"));
    } else if (x.requiredIdentity !== null && x.requiredIdentity !== enforced) {
      const text = `l5d-require-id asks for ${x.requiredIdentity}, and connections to ${x.endpoint?.key ?? "the endpoint"} ${demand(enforced)}`;
      refuse(x, sink, meshError("SELVAGE_ERR_IDENTITY", text, "caller"));
    } else if (x.scheme === "https" && enforced === null && this.#transport.encrypted !== true) {
      const text = `${x.authority} was asked for by https, and ${x.endpoint?.key ?? "its endpoint"} is plain: give it an identity, or ask by http`;
      refuse(x, sink, meshError("SELVAGE_ERR_IDENTITY", text, "caller"));
    } else {
      this.#inner.call(x, sink);
    }
  }
}

function demand(identity: string | null): string {
  return identity === null ? "prove no identity" : `prove to be ${identity}`;
}
