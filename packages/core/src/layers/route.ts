import type { ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import { outsideHost, outsideName, type TargetScheme } from "../egress/egress-rules.js";
import { meshError } from "../errors.js";
import type { MeshExchange } from "../exchange.js";
import type { Layer } from "../layer.js";
import { overriddenRoute } from "../router/overridden-route.js";
import type { Route } from "../router/route.js";
import type { Random } from "../runtime/random.js";
import type { Target } from "../target/target.js";
import { isMeshHeader } from "./mesh-header.js";
import { refuse } from "./refuse.js";

/** Knows which authorities there are. */
export interface TargetLookup {
  /** The state of an authority, made when it is asked for first; `null` when there is no such authority. */
  find(authority: string, scheme?: TargetScheme): Target | null;
  /** What to say about an authority that there isn't: what is known, or where it was looked for. */
  explainUnknown(authority: string): string;
  /** Whether an authority that there isn't is one of somebody else's, which egress could allow. @defaultValue never */
  isOutside?(authority: string, scheme: TargetScheme): boolean;
}

/** What is wrong with an authority that there isn't. */
export function unknownTarget(targets: TargetLookup, authority: string, scheme: TargetScheme): ExchangeError {
  if (targets.isOutside?.(authority, scheme) !== true) {
    const text = `no service ${authority}: ${targets.explainUnknown(authority)}`;
    return meshError("SELVAGE_ERR_UNKNOWN_SERVICE", text);
  }
  const host = outsideHost(authority, scheme);
  const name = host === null ? authority : outsideName(host, scheme);
  return meshError("SELVAGE_ERR_EGRESS", `egress to ${name} is not allowed: add it to outbound.egress.allow`);
}

/**
 * Decides what a request is addressed to, which rules apply and which authority serves it, and takes out the headers that
 * only the mesh may set: what the application put there must not pass for the mesh's word.
 */
export class RouteLayer implements Layer {
  readonly name = "route";
  readonly #targets: TargetLookup;
  readonly #random: Random;

  /** `random` chooses among a route's backends. */
  constructor(targets: TargetLookup, random: Random) {
    this.#targets = targets;
    this.#random = random;
  }

  wrap(inner: Service): Service {
    return new RouteService(inner, this.#targets, this.#random);
  }
}

class RouteService implements Service {
  readonly #inner: Service;
  readonly #targets: TargetLookup;
  readonly #random: Random;

  constructor(inner: Service, targets: TargetLookup, random: Random) {
    this.#inner = inner;
    this.#targets = targets;
    this.#random = random;
  }

  call(x: MeshExchange, sink: Sink): void {
    // Only CONNECT has no path.
    const scheme = x.path === "" ? "connect" : x.scheme;
    const target = this.#targets.find(x.authority, scheme);
    if (target === null) {
      refuse(x, sink, unknownTarget(this.#targets, x.authority, scheme));
      return;
    }
    x.target = target;
    target.used = true;
    const route = target.routes.find(x.method, x.path, x.headers);
    if (route === null) {
      refuse(
        x,
        sink,
        meshError("SELVAGE_ERR_NO_ROUTE", `no route of ${target.authority} matches ${x.method} ${x.path}`),
      );
      return;
    }
    x.route = route;
    takeMeshHeaders(x, route);
    const backends = route.backends ?? null;
    if (backends !== null) {
      const name = backends.pick(this.#random);
      const backend = this.#targets.find(name);
      // What was meant for the mesh stays in it, whatever egress allows.
      if (backend === null || backend.outside) {
        const text = `no service ${name}, a backend of ${target.authority}: ${this.#targets.explainUnknown(name)}`;
        refuse(x, sink, meshError("SELVAGE_ERR_UNKNOWN_SERVICE", text));
        return;
      }
      // Its own routes are not asked: what was decided here holds, and there can be no loop.
      x.target = backend;
      backend.used = true;
    }
    x.target.start();
    this.#inner.call(x, sink);
  }
}

/**
 * Takes out all `l5d-` headers, and keeps what `l5d-require-id` says, and what the others say where the route lets the
 * caller have a say. Copies only when there is one.
 */
function takeMeshHeaders(x: MeshExchange, route: Route): void {
  const { headers } = x;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (isMeshHeader(headers[i]!)) {
      if (route.overrides === true) x.route = overriddenRoute(route, headers);
      x.headers = withoutMeshHeaders(x, headers);
      return;
    }
  }
}

function withoutMeshHeaders(x: MeshExchange, headers: HeaderList): HeaderList {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i]!;
    const value = headers[i + 1]!;
    if (!isMeshHeader(name)) kept.push(name, value);
    // Two different demands can't both be met: the combination matches no identity.
    else if (name === "l5d-require-id")
      x.requiredIdentity = x.requiredIdentity === null ? value : `${x.requiredIdentity}, ${value}`;
  }
  return kept;
}
