import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Body, BodySink, Connection, Exchange, HeaderList, Service, Sink } from "../exchange.js";
import type { ExchangeError } from "../exchange-error.js";
import { ClientConnection, type ClientConnectionListener } from "../h1/client-connection.js";
import { type Http1Options, resolveHttp1 } from "../h1/limits.js";
import { ServerConnection } from "../h1/server-connection.js";

// Peers for the tests of h1. They wait with promises, which its own files may not.

/** Keeps what it is told, and tells when it is over. */
export class RecordingSink implements Sink {
  readonly informational: [number, HeaderList][] = [];
  status = 0;
  headers: HeaderList = [];
  readonly chunks: Uint8Array[] = [];
  trailers: HeaderList | null = null;
  error: ExchangeError | null = null;
  terminalCalls = 0;
  onHeadCalled: () => void = () => {};
  readonly #whenDone: (() => void)[] = [];

  get body(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  get done(): Promise<this> {
    return new Promise((resolve) => {
      if (this.terminalCalls > 0) resolve(this);
      else this.#whenDone.push(() => resolve(this));
    });
  }

  onInformational(status: number, headers: HeaderList): void {
    this.informational.push([status, headers]);
  }

  onHead(status: number, headers: HeaderList): void {
    this.status = status;
    this.headers = headers;
    this.onHeadCalled();
  }

  onData(chunk: Uint8Array): void {
    this.chunks.push(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.trailers = trailers;
    this.#over();
  }

  onError(error: ExchangeError): void {
    this.error = error;
    this.#over();
  }

  #over(): void {
    this.terminalCalls++;
    for (const resolve of this.#whenDone.splice(0)) resolve();
  }
}

/** Collects a request's body. */
export class RecordingBodySink implements BodySink {
  readonly chunks: Uint8Array[] = [];
  trailers: HeaderList | null = null;
  ended = false;
  readonly #onEnd: (body: Buffer, trailers: HeaderList | null) => void;

  constructor(onEnd: (body: Buffer, trailers: HeaderList | null) => void = () => {}) {
    this.#onEnd = onEnd;
  }

  onData(chunk: Uint8Array): void {
    this.chunks.push(chunk);
  }

  onEnd(trailers: HeaderList | null): void {
    this.ended = true;
    this.trailers = trailers;
    this.#onEnd(Buffer.concat(this.chunks), trailers);
  }
}

/** A body that the test pushes. */
export class PushedBody implements Body {
  readonly length: number;
  paused = false;
  cancelled = false;
  sink: BodySink | null = null;
  onPipe: (sink: BodySink) => void = () => {};
  onResume: () => void = () => {};

  constructor(length = -1) {
    this.length = length;
  }

  pipe(sink: BodySink): void {
    this.sink = sink;
    this.onPipe(sink);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.onResume();
  }

  cancel(): void {
    this.cancelled = true;
  }
}

/** A body of one piece, or of several. */
export function bodyOf(text: string | readonly string[], length = -1, trailers: HeaderList | null = null): PushedBody {
  const body = new PushedBody(length);
  body.onPipe = (sink) => {
    for (const piece of typeof text === "string" ? [text] : text) sink.onData(Buffer.from(piece, "latin1"));
    sink.onEnd(trailers);
  };
  return body;
}

export function serviceOf(call: (x: Exchange, sink: Sink) => void): Service {
  return { call };
}

/** Answers 200 with what it was asked, once the request is complete. */
export const echo: Service = serviceOf((x, sink) => {
  const answer = (body: Buffer, trailers: HeaderList | null) => {
    const text = Buffer.concat([Buffer.from(`${x.method} ${x.authority} ${x.path}\n`), body]);
    sink.onHead(200, ["content-length", String(text.length)]);
    sink.onData(text);
    sink.onEnd(trailers);
  };
  if (x.body === null) answer(Buffer.alloc(0), null);
  else x.body.pipe(new RecordingBodySink(answer));
});

export interface ServedPort {
  readonly port: number;
  readonly connections: ServerConnection[];
  readonly protections: string[];
  readonly closedCount: () => number;
  readonly close: () => void;
}

/** A port behind which every connection is a `ServerConnection`. */
export async function serve(service: Service, options: Http1Options = {}): Promise<ServedPort> {
  const connections: ServerConnection[] = [];
  const protections: string[] = [];
  let closed = 0;
  const config = resolveHttp1({ onProtection: (reason) => protections.push(reason), ...options });
  const server = createServer((socket) => {
    connections.push(new ServerConnection(socket, connectionOf(socket), service, config, { onClosed: () => closed++ }));
  });
  const port = await listen(server);
  const close = () => {
    server.close();
    for (const connection of connections) connection.destroy();
  };
  return { port, connections, protections, closedCount: () => closed, close };
}

export function connectionOf(socket: Duplex): Connection {
  return {
    socket,
    remoteAddress: "127.0.0.1",
    remotePort: 1,
    localAddress: "127.0.0.1",
    localPort: 2,
    encrypted: false,
    protocol: "http/1",
    context: null,
    drain() {},
    destroy() {},
  };
}

export function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
}

/** A socket that is written and read by hand. */
export class RawPeer {
  readonly socket: Socket;
  received = "";
  ended = false;
  closed = false;
  readonly #waiting: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      this.received += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("end", () => {
      this.ended = true;
      this.#wake();
    });
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  static open(port: number): Promise<RawPeer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawPeer(socket));
      });
    });
  }

  send(text: string): this {
    this.socket.write(text, "latin1");
    return this;
  }

  /** Until what was received passes, or the connection is over. */
  async until(passes: (received: string) => boolean): Promise<string> {
    while (!passes(this.received) && !this.closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.received;
  }

  /** Until the other side has ended its direction. */
  async toEnd(): Promise<string> {
    while (!this.ended && !this.closed) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.received;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

export interface ConnectedClient {
  readonly connection: ClientConnection;
  readonly protections: string[];
  /** `idle` and `closed`, with the code of the error, in order. */
  readonly events: string[];
  readonly idle: () => Promise<void>;
  readonly gone: () => Promise<void>;
}

/** A `ClientConnection` to a port. */
export async function dial(
  port: number,
  options: Http1Options = {},
  listener: Partial<ClientConnectionListener> = {},
): Promise<ConnectedClient> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const connecting = connect({ port, host: "127.0.0.1" });
    connecting.once("error", reject);
    connecting.once("connect", () => {
      connecting.off("error", reject);
      resolve(connecting);
    });
  });
  const protections: string[] = [];
  const events: string[] = [];
  const waiting: (() => void)[] = [];
  const wake = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  const until = async (event: string) => {
    while (!events.some((e) => e.startsWith(event))) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const config = resolveHttp1({ onProtection: (reason) => protections.push(reason), ...options });
  const connection = new ClientConnection(socket, config, {
    onIdle: (c) => {
      events.push("idle");
      listener.onIdle?.(c);
      wake();
    },
    onClosed: (c, error) => {
      events.push(error === null ? "closed" : `closed ${error.code}`);
      listener.onClosed?.(c, error);
      wake();
    },
  });
  return { connection, protections, events, idle: () => until("idle"), gone: () => until("closed") };
}
