import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import {
  type Body,
  type BodySink,
  type Connection,
  Exchange,
  type HeaderList,
  type Service,
  type Sink,
} from "../../exchange.js";
import { type ExchangeError, transportError } from "../../exchange-error.js";

/** A connection of tests that remembers what was asked of it. */
export class FakeConnection implements Connection {
  readonly socket: Duplex;
  readonly remoteAddress = "192.0.2.7";
  readonly remotePort = 4711;
  readonly localAddress = "192.0.2.1";
  readonly localPort = 4143;
  readonly encrypted: boolean;
  protocol: "" | "http/1" | "http/2" | "opaque" = "http/2";
  context: unknown = null;
  drains = 0;
  destroyed = false;

  constructor(tls?: Record<string, unknown>) {
    this.socket = Object.assign(new Duplex({ read() {}, write: (_c, _e, done) => done() }), tls);
    this.encrypted = tls !== undefined;
  }

  drain(): void {
    this.drains++;
  }

  destroy(): void {
    this.destroyed = true;
  }
}

/** A request body that a test feeds, with back pressure. What isn't taken yet waits. */
export class FakeBody implements Body {
  readonly length: number;
  paused = false;
  cancelled = false;
  piped = false;
  pauses = 0;
  resumes = 0;
  private readonly waiting: Uint8Array[] = [];
  private sink: BodySink | null = null;
  private ended = false;
  private endDelivered = false;
  private trailers: HeaderList | null = null;

  constructor(length = -1) {
    this.length = length;
  }

  /** Bytes given that nobody has taken. */
  get waitingBytes(): number {
    return this.waiting.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  give(data: string | Uint8Array): this {
    this.waiting.push(typeof data === "string" ? Buffer.from(data) : data);
    this.flush();
    return this;
  }

  end(trailers: HeaderList | null = null): this {
    this.ended = true;
    this.trailers = trailers;
    this.flush();
    return this;
  }

  pipe(sink: BodySink): void {
    if (this.piped) throw new Error("piped twice");
    this.piped = true;
    this.sink = sink;
    this.flush();
  }

  pause(): void {
    this.paused = true;
    this.pauses++;
  }

  resume(): void {
    this.paused = false;
    this.resumes++;
    this.flush();
  }

  cancel(): void {
    this.cancelled = true;
    this.waiting.length = 0;
  }

  private flush(): void {
    const sink = this.sink;
    if (sink === null || this.cancelled) return;
    while (!this.paused && this.waiting.length > 0) sink.onData(this.waiting.shift() as Uint8Array);
    if (this.waiting.length > 0 || !this.ended || this.endDelivered || this.paused) return;
    this.endDelivered = true;
    sink.onEnd(this.trailers);
  }
}

/** What came out of an exchange. Throws at whoever breaks the order of the calls. */
export class RecordingSink extends EventEmitter implements Sink {
  readonly informational: { status: number; headers: HeaderList }[] = [];
  status = 0;
  headers: HeaderList = [];
  readonly chunks: Uint8Array[] = [];
  trailers: HeaderList | null = null;
  ended = false;
  error: ExchangeError | null = null;
  /** Called with each chunk, before anything else happens. */
  whenData: ((chunk: Uint8Array) => void) | null = null;

  get body(): string {
    return Buffer.concat(this.chunks).toString();
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  get over(): boolean {
    return this.ended || this.error !== null;
  }

  /** Resolves when the exchange is over, however it went. */
  async done(): Promise<this> {
    if (!this.over) await new Promise((resolve) => this.once("over", resolve));
    return this;
  }

  header(name: string): string | undefined {
    const at = this.headers.findIndex((value, i) => i % 2 === 0 && value === name);
    return at === -1 ? undefined : this.headers[at + 1];
  }

  all(name: string): string[] {
    return this.headers.filter((_, i) => i % 2 === 1 && this.headers[i - 1] === name);
  }

  onInformational(status: number, headers: HeaderList): void {
    this.expectOpen();
    if (this.status !== 0) throw new Error("informational after the head");
    this.informational.push({ status, headers });
    this.emit("informational");
  }

  onHead(status: number, headers: HeaderList): void {
    this.expectOpen();
    if (this.status !== 0) throw new Error("second head");
    this.status = status;
    this.headers = headers;
    this.emit("head");
  }

  onData(chunk: Uint8Array): void {
    this.expectOpen();
    if (this.status === 0) throw new Error("data before the head");
    this.chunks.push(chunk);
    this.whenData?.(chunk);
    this.emit("data");
  }

  onEnd(trailers: HeaderList | null): void {
    this.expectOpen();
    if (this.status === 0) throw new Error("end before the head");
    this.ended = true;
    this.trailers = trailers;
    this.emit("over");
  }

  onError(error: ExchangeError): void {
    this.expectOpen();
    this.error = error;
    this.emit("over");
  }

  private expectOpen(): void {
    if (this.over) throw new Error("call after the terminal one");
  }
}

export interface FakeRequest {
  method?: string;
  path?: string;
  headers?: HeaderList;
  body?: Body | string | null;
  version?: "1.0" | "1.1" | "2.0";
  connection?: Connection | null;
  tunnel?: boolean;
}

/** An exchange as an inbound engine would make it. */
export function fakeExchange(request: FakeRequest = {}): Exchange {
  const x = new Exchange();
  x.method = request.method ?? "GET";
  x.path = request.path ?? "/";
  x.authority = "app.test";
  x.version = request.version ?? "2.0";
  x.headers = request.headers ?? (x.version === "2.0" ? [] : ["host", "app.test"]);
  x.connection = request.connection === undefined ? new FakeConnection() : request.connection;
  x.tunnel = request.tunnel ?? false;
  const body = request.body ?? null;
  x.body = typeof body === "string" ? new FakeBody(Buffer.byteLength(body)).give(body).end() : body;
  if (typeof body === "string") x.headers = [...x.headers, "content-length", `${Buffer.byteLength(body)}`];
  return x;
}

/** Sends an exchange and returns where its response goes. */
export function send(service: Service, request: FakeRequest | Exchange = {}): { x: Exchange; sink: RecordingSink } {
  const x = request instanceof Exchange ? request : fakeExchange(request);
  const sink = new RecordingSink();
  service.call(x, sink);
  return { x, sink };
}

/** What an engine says when the client has gone. */
export function clientGone(): ExchangeError {
  return transportError("SELVAGE_ERR_ABORTED", "the client reset the stream", "caller");
}
