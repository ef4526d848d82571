import { type Body, type BodySink, type HeaderList, noHeaders, type Service, type Sink } from "@selvage/http2";
import type { MeshExchange, Peer } from "../exchange.js";
import type { Layer } from "../layer.js";
import { parseGrpcTimeout } from "./grpc-timeout.js";
import { claimsIdentity } from "./mesh-header.js";
import { heedTimeLeft, timeLeftHeader } from "./time-left.js";

/**
 * Makes what the application sees trustworthy: headers and trailers that claim an identity are removed, always, and
 * `l5d-client-id` is set from the verified peer. Reads the caller's deadline on the way (`grpc-timeout`; of
 * verified peers also `l5d-time-left`).
 */
export class SanitizeLayer implements Layer {
  readonly name = "sanitize";

  wrap(inner: Service): Service {
    return new SanitizeService(inner);
  }
}

class SanitizeService implements Service {
  readonly #inner: Service;
  /** What came last, and what was made of it: lists never change, and the same one comes again where heads repeat. */
  #lastHeaders: HeaderList | null = null;
  #lastPeer: Peer | null = null;
  #lastKept: HeaderList = noHeaders;

  constructor(inner: Service) {
    this.#inner = inner;
  }

  call(x: MeshExchange, sink: Sink): void {
    const { headers, peer } = x;
    let forged = false;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      const name = headers[i]!;
      if (claimsIdentity(name)) {
        forged = true;
        if (peer !== null && name === timeLeftHeader) heedTimeLeft(x, headers[i + 1]!);
      } else if (name === "grpc-timeout") readDeadline(x, headers[i + 1]!);
    }
    if (forged || peer !== null) x.headers = this.#sanitized(headers, peer, forged);
    // A tunnel's body has no trailers.
    if (x.body !== null && !x.tunnel) x.body = new SanitizedBody(x.body);
    this.#inner.call(x, sink);
  }

  #sanitized(headers: HeaderList, peer: Peer | null, forged: boolean): HeaderList {
    if (headers === this.#lastHeaders && peer === this.#lastPeer) return this.#lastKept;
    const kept: string[] = forged ? withoutClaims(headers) : headers.slice();
    if (peer !== null) kept.push("l5d-client-id", peer.toString());
    this.#lastHeaders = headers;
    this.#lastPeer = peer;
    this.#lastKept = kept;
    return kept;
  }
}

function readDeadline(x: MeshExchange, value: string): void {
  const timeoutMs = parseGrpcTimeout(value);
  if (timeoutMs >= 0) x.deadlineAt = Math.min(x.deadlineAt, x.startedAt + timeoutMs);
}

function withoutClaims(headers: HeaderList): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    if (!claimsIdentity(headers[i]!)) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}

/** A body whose trailers claim no identity. */
class SanitizedBody implements Body, BodySink {
  readonly length: number;
  readonly #source: Body;
  #sink: BodySink | null = null;

  constructor(source: Body) {
    this.length = source.length;
    this.#source = source;
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
    this.#source.cancel();
  }

  onData(chunk: Uint8Array): void {
    this.#sink!.onData(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.#sink!.onEnd(trailers === null ? null : withoutClaims(trailers));
  }
}
