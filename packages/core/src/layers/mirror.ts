import type { Body, BodySink, ExchangeError, HeaderList, Service, Sink } from "@selvage/http2";
import type { MirrorConfig } from "../config/config.js";
import { MeshExchange } from "../exchange.js";
import { compileRetryPolicy, retryDefaults } from "../resilience/retry-policy.js";
import type { Route } from "../router/route.js";
import { anyMatch } from "../router/route-match.js";
import type { Clock } from "../runtime/clock.js";
import type { Random } from "../runtime/random.js";
import type { TargetLookup } from "./route.js";

export interface MirrorParts {
  readonly targets: TargetLookup;
  readonly clock: Clock;
  readonly random: Random;
}

/** Tells a server that nobody waits for its answer. Anybody can set it: it is a hint, not a proof. */
export const mirrorHeader = "x-selvage-mirror";

/** A body beyond this is not copied. */
const maxBodyBytes = 65_536;
/** Copies under way at the same time, of all routes together; with more, requests go uncopied. */
const maxCopies = 1_000;
const timeoutMs = 10_000;

const mirrorRoute: Route = Object.freeze({
  name: "mirror",
  match: anyMatch,
  timeoutMs,
  retry: compileRetryPolicy({ ...retryDefaults, limit: 0 }),
  filters: null,
  backends: null,
  overrides: false,
});

/**
 * Sends copies of requests to another authority, and drops what that answers. The original comes first and never waits: its
 * body passes through, and is remembered up to 64 KiB. A copy leaves when all of the request has; there is none of a
 * longer body, of one that nobody read to its end, and of tunnels. Copies are not retried, and end after 10 s.
 */
export class Mirror {
  readonly #inner: Service;
  readonly #parts: MirrorParts;
  #copies = 0;

  constructor(inner: Service, parts: MirrorParts) {
    this.#inner = inner;
    this.#parts = parts;
  }

  call(x: MeshExchange, sink: Sink, { service, ratio }: MirrorConfig): void {
    const { body } = x;
    const chosen = ratio >= 1 || this.#parts.random() < ratio;
    if (!chosen || x.tunnel || (body !== null && body.length > maxBodyBytes)) {
      this.#inner.call(x, sink);
    } else if (body === null) {
      // Made before: what is below may change the exchange.
      const copy = copyOf(x, null);
      this.#inner.call(x, sink);
      this.#send(copy, service);
    } else {
      x.body = new RememberedBody(body, copyOf(x, body), (copy) => this.#send(copy, service));
      this.#inner.call(x, sink);
    }
  }

  #send(copy: MeshExchange, service: string): void {
    if (this.#copies >= maxCopies) return;
    const target = this.#parts.targets.find(service);
    if (target === null || target.outside) return;
    target.used = true;
    copy.target = target;
    copy.startedAt = this.#parts.clock.now();
    target.start();
    this.#copies++;
    this.#inner.call(copy, new DroppingSink(() => this.#copies--));
  }
}

function copyOf(x: MeshExchange, body: Body | null): MeshExchange {
  const copy = new MeshExchange("outbound");
  copy.method = x.method;
  copy.scheme = x.scheme;
  copy.authority = x.authority;
  copy.path = x.path;
  copy.version = x.version;
  copy.headers = markedHeaders(x.headers);
  copy.headerCase = x.headerCase;
  copy.body = body;
  copy.route = mirrorRoute;
  copy.requiredIdentity = x.requiredIdentity;
  return copy;
}

function markedHeaders(headers: HeaderList): HeaderList {
  const marked: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    // Its body is all there: it waits for no leave to send it.
    if (headers[i] !== mirrorHeader && headers[i] !== "expect") marked.push(headers[i]!, headers[i + 1]!);
  }
  marked.push(mirrorHeader, "1");
  return marked;
}

/** Passes a body on as it comes, and remembers it. */
class RememberedBody implements Body, BodySink {
  readonly length: number;
  readonly #source: Body;
  readonly #copy: MeshExchange;
  readonly #complete: (copy: MeshExchange) => void;
  #sink: BodySink | null = null;
  #size = 0;
  /** `null`: given up. */
  #chunks: Uint8Array[] | null = [];

  constructor(source: Body, copy: MeshExchange, complete: (copy: MeshExchange) => void) {
    this.length = source.length;
    this.#source = source;
    this.#copy = copy;
    this.#complete = complete;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#source.pipe(this);
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  cancel(): void {
    this.#chunks = null;
    this.#source.cancel();
  }

  onData(chunk: Uint8Array): void {
    this.#size += chunk.length;
    if (this.#size > maxBodyBytes) this.#chunks = null;
    this.#chunks?.push(chunk);
    this.#sink!.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#sink!.onEnd(trailers);
    const chunks = this.#chunks;
    this.#chunks = null;
    if (chunks === null) return;
    this.#copy.body = new WholeBody(this.length, chunks, trailers);
    this.#complete(this.#copy);
  }
}

/** A body that is all there. */
class WholeBody implements Body {
  readonly length: number;
  readonly #trailers: HeaderList | null;
  #chunks: readonly Uint8Array[];
  #next = 0;
  #sink: BodySink | null = null;
  #paused = false;
  #delivering = false;

  constructor(length: number, chunks: readonly Uint8Array[], trailers: HeaderList | null) {
    this.length = length;
    this.#chunks = chunks;
    this.#trailers = trailers;
  }

  pipe(sink: BodySink): void {
    this.#sink = sink;
    this.#deliver();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#deliver();
  }

  cancel(): void {
    this.#sink = null;
    this.#chunks = [];
  }

  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#sink !== null && !this.#paused && this.#next < this.#chunks.length) {
      this.#sink.onData(this.#chunks[this.#next++]!);
    }
    this.#delivering = false;
    if (this.#sink === null || this.#paused) return;
    const sink = this.#sink;
    this.#sink = null;
    sink.onEnd(this.#trailers);
  }
}

class DroppingSink implements Sink {
  readonly #over: () => void;

  constructor(over: () => void) {
    this.#over = over;
  }

  onInformational(): void {}

  onHead(): void {}

  onData(): void {}

  onEnd(): void {
    this.#over();
  }

  onError(_error: ExchangeError): void {
    this.#over();
  }
}
