import {
  type Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
} from "node:http";
import { AppExit, createFetch, exchangeOf, ServiceAgent } from "@selvage/http2/node";
import { ServiceDispatcher } from "@selvage/http2/undici";
import type { MeshConfig } from "../config/config.js";
import type { MeshOptions } from "../config/options.js";
import { MeshExchange, type Peer } from "../exchange.js";
import { renderPrometheus } from "../telemetry/prometheus.js";
import type { Log } from "./log.js";
import { followRequests, newOutboundExchange, RequestContextExit } from "./request-context.js";
import { MeshRuntime } from "./runtime.js";
import { serveHttp } from "./serve-http.js";

/** What `createMesh` takes beside the configuration. */
export interface CreateMeshOptions extends MeshOptions {
  /** Where rare events go. @defaultValue warnings and errors, a line each, to standard error */
  log?: Log;
}

/** What a mesh is made of, for entries and exits that have an entry of their own in this package. */
export let runtimeOf: (mesh: Mesh) => MeshRuntime;

/** A workload's place in the mesh. One per process is usual; several are possible, each with its own identity. */
export class Mesh {
  /** The configuration in force, complete and frozen. */
  readonly config: MeshConfig;
  readonly #runtime: MeshRuntime;
  readonly #fetch: typeof globalThis.fetch;
  readonly #dispatcher: ServiceDispatcher;
  readonly #agent: Agent;
  readonly #httpsAgent: Agent;

  static {
    runtimeOf = (mesh) => mesh.#runtime;
  }

  /** Use `createMesh`. */
  constructor(runtime: MeshRuntime) {
    this.#runtime = runtime;
    this.config = runtime.config;
    const newExchange = newOutboundExchange;
    this.#dispatcher = new ServiceDispatcher(runtime.outbound, { newExchange });
    this.#fetch = createFetch(this.#dispatcher);
    this.#agent = new ServiceAgent(runtime.outbound, { newExchange, protocol: "http:" });
    this.#httpsAgent = new ServiceAgent(runtime.outbound, { newExchange, protocol: "https:" });
  }

  /** WHATWG fetch through the mesh: looked up by name, mutual TLS, balanced, retried, measured. */
  get fetch(): typeof globalThis.fetch {
    followRequests();
    return this.#fetch;
  }

  /** For undici, and for the built-in fetch by `setGlobalDispatcher` or its `dispatcher` option. */
  get dispatcher(): ServiceDispatcher {
    followRequests();
    return this.#dispatcher;
  }

  /** For everything built on node:http (axios, got, node-fetch), for `http:` URLs. */
  get agent(): Agent {
    followRequests();
    return this.#agent;
  }

  /** The same for `https:` URLs. To services of the mesh both go the same way: the mesh does the encryption. */
  get httpsAgent(): Agent {
    followRequests();
    return this.#httpsAgent;
  }

  /** This workload's SPIFFE id. */
  get id(): string {
    return this.#runtime.id;
  }

  /** Where the admin port is, `http://host:port`; null without one. */
  get adminAddress(): string | null {
    return this.#runtime.adminAddress;
  }

  /**
   * A genuine `http.Server` whose port is a port of the mesh: mutual TLS, HTTP/2, HTTP/1.1 and plain HTTP side by side, inbound policy
   * before the listener. Listen on it as ever. It is announced to others when it listens, and withdrawn when it closes.
   */
  createServer(listener?: RequestListener): Server {
    const server = createServer(listener);
    return serveHttp(this.#runtime, server, new RequestContextExit(new AppExit(server)));
  }

  /** For frameworks that make their server by a factory: `Fastify({ serverFactory: mesh.serverFactory })`. */
  readonly serverFactory = (listener: RequestListener, options?: object): Server => {
    const server = createServer((options ?? {}) as ServerOptions, listener);
    return serveHttp(this.#runtime, server, new RequestContextExit(new AppExit(server)));
  };

  /** The metrics in Prometheus text format, as on the admin port. */
  metrics(): string {
    return renderPrometheus(this.#runtime.metrics.registry);
  }

  /**
   * Ends in this order: not ready and withdrawn, wait `drain.delay`, stop accepting, let requests in flight finish (at most
   * `drain.timeout`), close outbound connections. Outbound calls work until the inbound ones are done. Idempotent.
   */
  close(): Promise<void> {
    return this.#runtime.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Joins the mesh. Configuration comes from the object given, then `SELVAGE_*`, then `selvage.yaml`, then defaults; without any, this is a
 * development mesh whose processes on one machine find and believe each other. Resolves when the workload has its identity.
 *
 * Rejects with a `ConfigError` that names every wrong field, or with the reason why there is no identity.
 */
export async function createMesh(options: CreateMeshOptions = {}): Promise<Mesh> {
  const { log, ...rest } = options;
  return new Mesh(await MeshRuntime.start({ options: rest, ...(log && { log }) }));
}

/**
 * Who sent a request, as proven by the connection it came on; null for a request without a verified peer, and for requests that no mesh server
 * took. Works for the objects of any framework that passes on Node's `IncomingMessage`.
 */
export function peerOf(req: IncomingMessage): Peer | null {
  const x = exchangeOf(req);
  return x instanceof MeshExchange ? x.peer : null;
}
