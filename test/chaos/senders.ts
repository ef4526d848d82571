// How the generator sends, for each protocol: through the library, or as an ordinary program does to its shim.
import { Agent, request } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { type Client, credentials, makeGenericClientConstructor, type ServiceError } from "@grpc/grpc-js";
import { createMesh, type Mesh } from "@selvage/core";
import { grpcChannel } from "@selvage/core/grpc";
import { MeshExchange, type MeshOptions, MeshRuntime } from "@selvage/core/spi";
import { ServiceDispatcher } from "@selvage/http2/undici";
import { type Dispatcher, request as undiciRequest } from "undici";
import { chaosService } from "./chaos-service.js";
import type { Outcome } from "./load.js";

/** Of the apps. Between two meshes there is mTLS around each. */
export const protocols = ["h1", "h2", "grpc"] as const;
export type Protocol = (typeof protocols)[number];

export interface Sender {
  /** Never rejects. Every other request is not safe: a POST, or for gRPC a stream. */
  send(i: number): Promise<Outcome>;
  close(): Promise<unknown>;
}

/** What a generator sends, and where. */
export interface SenderOptions {
  readonly protocol: Protocol;
  readonly authority: string;
  /** Of the library; without it requests go to the shim. */
  readonly mesh?: MeshOptions;
  /** The outbound port of the shim. */
  readonly proxyPort?: number;
  /** All requests are GETs. */
  readonly safeOnly?: boolean;
}

export async function createSender(options: SenderOptions): Promise<Sender> {
  const { mesh: given, protocol } = options;
  if (given === undefined) {
    if (protocol === "h1") return plainHttp1Sender(options);
    return protocol === "h2" ? new Http2Sender(options) : plainGrpcSender(options);
  }
  // No HTTP client of Node's speaks HTTP/2 to an agent: exchanges are marked as HTTP/2 on their way into the stack.
  if (protocol === "h2") return new MarkedSender(options, await MeshRuntime.start({ options: given, log() {} }));
  const mesh = await createMesh({ ...given, log() {} });
  return protocol === "h1" ? http1Sender(options, mesh) : grpcSender(options, mesh);
}

const body = "a few bytes";
const isPost = (i: number, { safeOnly = false }: SenderOptions) => i % 2 === 1 && !safeOnly;

function http1Sender(options: SenderOptions, mesh: Mesh): Sender {
  const { authority } = options;
  const base = { agent: mesh.agent, host: authority };
  return {
    send: (i) => http1Call({ ...base, path: `/?id=${i}`, ...methodOf(i, options) }),
    close: () => mesh.close(),
  };
}

function plainHttp1Sender(options: SenderOptions): Sender {
  const { authority, proxyPort } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  const base = { agent, host: "127.0.0.1", port: proxyPort! };
  return {
    send: (i) => http1Call({ ...base, path: `http://${authority}/?id=${i}`, ...methodOf(i, options) }),
    close: async () => agent.destroy(),
  };
}

function methodOf(i: number, options: SenderOptions) {
  const headers = { host: options.authority };
  return isPost(i, options)
    ? { method: "POST", headers: { ...headers, "content-length": body.length } }
    : { method: "GET", headers };
}

/** One request by node:http; the answer counts when it is complete. */
function http1Call(options: import("node:http").RequestOptions): Promise<Outcome> {
  return new Promise((resolve) => {
    const req = request(options, (res) => {
      res.on("error", () => {});
      const why = res.headers["l5d-proxy-error"];
      const outcome = why === undefined ? (res.statusCode ?? 0) : `${res.statusCode} ${why}`;
      res.on("close", () => resolve(res.complete ? outcome : "broken"));
      res.resume();
    });
    req.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    req.end(options.method === "POST" ? body : undefined);
  });
}

/** undici over the library. */
class MarkedSender implements Sender {
  readonly #options: SenderOptions;
  readonly #runtime: MeshRuntime;
  readonly #dispatcher: Dispatcher;

  constructor(options: SenderOptions, runtime: MeshRuntime) {
    this.#options = options;
    this.#runtime = runtime;
    const marking = {
      call(x: MeshExchange, sink: Parameters<typeof runtime.outbound.call>[1]) {
        x.version = "2.0";
        runtime.outbound.call(x, sink);
      },
    };
    this.#dispatcher = new ServiceDispatcher(marking, { newExchange: () => new MeshExchange("outbound") });
  }

  async send(i: number): Promise<Outcome> {
    try {
      const post = isPost(i, this.#options);
      const {
        statusCode,
        headers,
        body: answer,
      } = await undiciRequest(`http://${this.#options.authority}/?id=${i}`, {
        dispatcher: this.#dispatcher,
        method: post ? "POST" : "GET",
        body: post ? body : null,
      });
      await answer.dump();
      const why = headers["l5d-proxy-error"];
      return why === undefined ? statusCode : `${statusCode} ${why}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error);
    }
  }

  close(): Promise<void> {
    return this.#runtime.close();
  }
}

/** node:http2 by prior knowledge, on one connection as long as it lasts. */
class Http2Sender implements Sender {
  readonly #options: SenderOptions;
  #session: ClientHttp2Session | null = null;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  send(i: number): Promise<Outcome> {
    const post = isPost(i, this.#options);
    return new Promise((resolve) => {
      const stream = this.#connected().request(
        {
          ":method": post ? "POST" : "GET",
          ":path": `/?id=${i}`,
          ":authority": this.#options.authority,
        },
        { endStream: !post },
      );
      let outcome: Outcome = "broken";
      let ended = false;
      let failed: string | null = null;
      stream.on("response", (headers) => {
        const why = headers["l5d-proxy-error"];
        outcome = why === undefined ? Number(headers[":status"]) : `${headers[":status"]} ${why}`;
      });
      stream.on("end", () => {
        ended = true;
      });
      stream.on("error", (error: NodeJS.ErrnoException) => {
        failed = error.code ?? error.message;
      });
      stream.on("close", () => resolve(failed ?? (ended ? outcome : "broken")));
      stream.resume();
      if (post) stream.end(body);
    });
  }

  async close(): Promise<void> {
    this.#session?.destroy();
  }

  #connected(): ClientHttp2Session {
    if (this.#session === null || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://127.0.0.1:${this.#options.proxyPort}`);
      this.#session.on("error", () => {});
    }
    return this.#session;
  }
}

const ChaosClient = makeGenericClientConstructor(chaosService, "chaos.Chaos");

function grpcSender({ authority }: SenderOptions, mesh: Mesh): Sender {
  return new GrpcSender(new ChaosClient(...grpcChannel(mesh, authority)), () => mesh.close());
}

function plainGrpcSender({ authority, proxyPort }: SenderOptions): Sender {
  const options = { "grpc.default_authority": authority };
  return new GrpcSender(
    new ChaosClient(`127.0.0.1:${proxyPort}`, credentials.createInsecure(), options),
    async () => {},
  );
}

/** Unary calls, and every other time a stream of three messages. */
class GrpcSender implements Sender {
  readonly #client: Client;
  readonly #close: () => Promise<unknown>;

  constructor(client: Client, close: () => Promise<unknown>) {
    this.#client = client;
    this.#close = close;
  }

  send(i: number): Promise<Outcome> {
    return i % 2 === 0 ? this.#unary(i) : this.#stream(i);
  }

  async close(): Promise<void> {
    await this.#close();
    this.#client.close();
  }

  #unary(i: number): Promise<Outcome> {
    const { path, requestSerialize, responseDeserialize } = chaosService.unary;
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, String(i), (error) =>
        resolve(error === null ? 200 : shown(error)),
      );
    });
  }

  #stream(i: number): Promise<Outcome> {
    const { path, requestSerialize, responseDeserialize } = chaosService.stream;
    return new Promise((resolve) => {
      const call = this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, String(i));
      let messages = 0;
      call.on("data", () => {
        messages++;
      });
      call.on("error", (error: ServiceError) => resolve(shown(error)));
      call.on("end", () => resolve(messages === 3 ? 200 : `${messages} messages`));
    });
  }
}

function shown({ code, details }: ServiceError): string {
  return `gRPC ${code} ${details}`;
}
