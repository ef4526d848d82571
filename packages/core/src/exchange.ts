import { Exchange, type ExchangeError } from "@selvage/http2";
import type { Endpoint } from "./balancer/endpoint.js";
import type { Route } from "./router/route.js";
import type { Target } from "./target/target.js";

/** Who is at the other end of a connection, as proven. `toString` returns a string made once, not one made per call. */
export interface Peer {
  readonly trustDomain: string;
  toString(): string;
}

/** Relative to this workload. */
export type Direction = "inbound" | "outbound";

/**
 * The exchange as the mesh sees it. Entries make it, layers fill it in.
 *
 * All fields are set by the constructor, so that every exchange has one shape. Instants are in milliseconds of the
 * monotonic clock (`Clock.now`).
 */
export class MeshExchange extends Exchange {
  readonly direction: Direction;
  /** Set by `measure`. */
  startedAt = 0;
  /** When the caller stops waiting; `Infinity` for never. Entries may set it before the call, `deadline` only shortens it. */
  deadlineAt = Number.POSITIVE_INFINITY;
  /** Inbound: the verified peer, `null` when it has not proven who it is. Set by the entry. */
  peer: Peer | null = null;
  /** Set by `route`. */
  target: Target | null = null;
  /** Set by `route`. */
  route: Route | null = null;
  /** What the application demands to talk to (`l5d-require-id`). Set by `route`, checked by `requireIdentity`. */
  requiredIdentity: string | null = null;
  /** 1 for the first. Set by `retry`. */
  attempt = 1;
  /** Attempts that were made beside another one, of all attempts. Set by `retry`. */
  hedges = 0;
  /** When the current attempt was given to its endpoint. Set by `balance`. */
  attemptStartedAt = 0;
  /** Who serves the current attempt. Set by `balance`. */
  endpoint: Endpoint | null = null;
  /** Where attempts have been, the latest last: to be avoided while there is another. `null` in the first. Set by `avoid`. */
  tried: Endpoint[] | null = null;
  /** What a refused caller is told to wait, in seconds; 0 for nothing. Set by who refuses, told by `rescue`. */
  retryAfterSeconds = 0;
  /** How it ended, when that was an error. Set by `measure`. */
  error: ExchangeError | null = null;
  /**
   * The OpenTelemetry context that holds this exchange's span, `null` when nobody traces. Set by `trace`. Exits run the
   * application in it.
   */
  traceContext: unknown = null;

  constructor(direction: Direction) {
    super();
    this.direction = direction;
  }

  /** The next attempt goes elsewhere if it can, and here only after all that were avoided earlier. */
  avoid(endpoint: Endpoint): void {
    this.tried ??= [];
    const at = this.tried.indexOf(endpoint);
    if (at >= 0) this.tried.splice(at, 1);
    this.tried.push(endpoint);
  }

  /** The same request once more, for an attempt beside another one: who holds the one does not hold the other. */
  copy(): MeshExchange {
    const copy = new MeshExchange(this.direction);
    copy.method = this.method;
    copy.scheme = this.scheme;
    copy.authority = this.authority;
    copy.path = this.path;
    copy.version = this.version;
    copy.absoluteForm = this.absoluteForm;
    copy.tunnel = this.tunnel;
    copy.headers = this.headers;
    copy.headerCase = this.headerCase;
    copy.body = this.body;
    copy.connection = this.connection;
    copy.startedAt = this.startedAt;
    copy.deadlineAt = this.deadlineAt;
    copy.peer = this.peer;
    copy.target = this.target;
    copy.route = this.route;
    copy.requiredIdentity = this.requiredIdentity;
    copy.attempt = this.attempt;
    copy.tried = this.tried;
    copy.traceContext = this.traceContext;
    return copy;
  }
}
