import { createHash } from "node:crypto";
import { type Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { type ClientHttp2Session, connect as http2Connect } from "node:http2";
import { Readable } from "node:stream";
import { type Dispatcher, request as undiciRequest } from "undici";

/** A request as a case describes it. */
export interface CaseRequest {
  /** Instead of the application's. */
  readonly authority?: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** A buffer is sent with its length, chunks without. */
  readonly body?: Buffer | readonly Buffer[];
  readonly trailers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Given up as soon as the head has come. */
  readonly abortAfterHead?: boolean;
}

/** What a client saw, in a form in which cells can be compared. */
export interface Outcome {
  readonly status: number;
  /** Lower case names; what differs from run to run, and what frames a connection, is left out. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly length: number;
  readonly sha256: string;
  /** The body, when it is short. */
  readonly text: string;
  readonly trailers: Readonly<Record<string, string>>;
  /** Statuses of informational responses, 100 left out: whether it is needed depends on the client. */
  readonly informational: readonly number[];
  /** The response began and did not end as it should. */
  readonly broken: boolean;
  /** There was no response at all. */
  readonly failed: boolean;
}

export interface Client {
  send(request: CaseRequest): Promise<Outcome>;
  close(): Promise<void>;
}

const passing = new Set(["date", "connection", "keep-alive", "transfer-encoding", "content-length", "server"]);

/** Gathers an outcome from the events of one kind of client. */
class Recorder {
  status = 0;
  headers: Record<string, string | readonly string[]> = {};
  trailers: Record<string, string> = {};
  readonly informational: number[] = [];
  readonly #hash = createHash("sha256");
  readonly #chunks: Buffer[] = [];
  #length = 0;

  head(status: number, headers: IncomingHttpHeaders): void {
    this.status = status;
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined && !name.startsWith(":") && !passing.has(name)) this.headers[name] = value;
    }
  }

  data(chunk: Buffer): void {
    this.#length += chunk.length;
    this.#hash.update(chunk);
    if (this.#length <= 4096) this.#chunks.push(chunk);
  }

  outcome(ended: boolean): Outcome {
    return {
      status: this.status,
      headers: this.headers,
      length: this.#length,
      sha256: this.#hash.digest("hex"),
      text: Buffer.concat(this.#chunks).toString(),
      trailers: this.trailers,
      informational: this.informational,
      broken: !ended && this.status !== 0,
      failed: this.status === 0,
    };
  }
}

function bodyOf(request: CaseRequest): Readable | Buffer | null {
  if (request.body === undefined) return null;
  return Buffer.isBuffer(request.body) ? request.body : Readable.from(request.body);
}

/** A client on node:http: by an agent of the mesh, by way of a proxy, or straight to a port. */
export function node1Client(route: {
  readonly authority: string;
  readonly agent?: Agent;
  readonly connectTo?: { readonly host: string; readonly port: number };
  /** Absolute-form targets, as to a proxy. */
  readonly absolute?: boolean;
}): Client {
  const send = (one: CaseRequest): Promise<Outcome> =>
    new Promise((resolve) => {
      const recorder = new Recorder();
      const body = bodyOf(one);
      const authority = one.authority ?? route.authority;
      const req = httpRequest({
        method: one.method ?? "GET",
        path: route.absolute ? `http://${authority}${one.path}` : one.path,
        host: route.connectTo?.host ?? authority,
        ...(route.connectTo && { port: route.connectTo.port }),
        headers: {
          host: authority,
          ...one.headers,
          ...(one.trailers && { trailer: Object.keys(one.trailers).join(", ") }),
          ...(Buffer.isBuffer(body) && { "content-length": body.length }),
        },
        ...(route.agent && { agent: route.agent }),
        ...(one.signal && { signal: one.signal }),
      });
      const done = (ended: boolean) => resolve(recorder.outcome(ended));
      req.on("error", () => done(false));
      req.on("information", ({ statusCode }) => {
        if (statusCode !== 100) recorder.informational.push(statusCode);
      });
      req.on("response", (res) => {
        recorder.head(res.statusCode ?? 0, res.headers);
        if (one.abortAfterHead) {
          req.destroy();
          return done(false);
        }
        res.on("data", (chunk: Buffer) => recorder.data(chunk));
        res.on("error", () => {});
        res.on("close", () => {
          for (const [name, value] of Object.entries(res.trailers))
            if (value !== undefined) recorder.trailers[name] = value;
          done(res.complete);
        });
      });
      if (one.trailers) req.addTrailers(one.trailers);
      if (body === null) req.end();
      else if (Buffer.isBuffer(body)) req.end(body);
      else body.pipe(req);
    });
  return { send, close: async () => route.agent?.destroy() };
}

/** A client on node:http2, by prior knowledge. */
export function node2Client(port: number, authority: string): Client {
  let session: ClientHttp2Session | null = null;
  const connected = (): ClientHttp2Session => {
    if (session === null || session.closed || session.destroyed) {
      session = http2Connect(`http://127.0.0.1:${port}`);
      session.on("error", () => {});
    }
    return session;
  };
  const send = (one: CaseRequest): Promise<Outcome> =>
    new Promise((resolve) => {
      const recorder = new Recorder();
      const body = bodyOf(one);
      const stream = connected().request(
        {
          ":method": one.method ?? "GET",
          ":path": one.path,
          ":authority": one.authority ?? authority,
          ...one.headers,
          ...(Buffer.isBuffer(body) && { "content-length": body.length }),
        },
        {
          endStream: body === null && one.trailers === undefined,
          waitForTrailers: one.trailers !== undefined,
          ...(one.signal && { signal: one.signal }),
        },
      );
      let ended = false;
      stream.on("wantTrailers", () => stream.sendTrailers({ ...one.trailers }));
      stream.on("headers", (headers) => {
        const status = Number(headers[":status"]);
        if (status !== 100) recorder.informational.push(status);
      });
      stream.on("response", (headers) => {
        recorder.head(Number(headers[":status"]), headers as IncomingHttpHeaders);
        if (one.abortAfterHead) stream.close(8);
      });
      stream.on("trailers", (headers) => {
        for (const [name, value] of Object.entries(headers)) recorder.trailers[name] = String(value);
      });
      stream.on("data", (chunk: Buffer) => recorder.data(chunk));
      stream.on("end", () => {
        ended = true;
      });
      stream.on("error", () => {});
      stream.on("close", () => resolve(recorder.outcome(ended && stream.rstCode === 0)));
      if (body === null) stream.end();
      else if (Buffer.isBuffer(body)) stream.end(body);
      else body.pipe(stream);
    });
  return {
    send,
    close: () =>
      new Promise((resolve) => {
        if (session === null || session.destroyed) return resolve();
        session.close(() => resolve());
        session.destroy();
      }),
  };
}

/** A client on undici. It can't send trailers, and shows informational responses by a hook. */
export function undiciClient(dispatcher: Dispatcher, authority: string): Client {
  const send = async (one: CaseRequest): Promise<Outcome> => {
    const recorder = new Recorder();
    const body = bodyOf(one);
    const abort = new AbortController();
    const signal = one.signal ? AbortSignal.any([one.signal, abort.signal]) : abort.signal;
    try {
      const response = await undiciRequest(`http://${one.authority ?? authority}${one.path}`, {
        dispatcher,
        signal,
        method: (one.method ?? "GET") as Dispatcher.HttpMethod,
        headers: { ...one.headers },
        ...(body !== null && { body }),
        onInfo: ({ statusCode }) => recorder.informational.push(statusCode),
      });
      recorder.head(response.statusCode, response.headers);
      response.body.on("error", () => {});
      if (one.abortAfterHead) {
        abort.abort();
        return recorder.outcome(false);
      }
      for await (const chunk of response.body) recorder.data(chunk);
      for (const [name, value] of Object.entries(response.trailers ?? {})) recorder.trailers[name] = value;
      return recorder.outcome(true);
    } catch {
      return recorder.outcome(false);
    }
  };
  return { send, close: async () => {} };
}
