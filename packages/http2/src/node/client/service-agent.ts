import { Agent, type AgentOptions } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { Exchange, type Service } from "../../exchange.js";
import { ActiveCalls } from "./active-calls.js";
import type { RequestInternals } from "./client-internals.js";
import { HeaderNames } from "./header-names.js";
import { RequestSeam, type SeamSettings } from "./request-seam.js";
import { seamSymbols } from "./seam-probe.js";
import { connectAsText } from "./text-entry.js";

/** Options of {@link ServiceAgent}. */
export interface ServiceAgentOptions {
  /**
   * Whose requests it takes: those of `node:http` or of `node:https`. An agent is for one of the two, since as a global
   * agent it would refuse the other.
   * @defaultValue "http:"
   */
  readonly protocol?: "http:" | "https:";
  /** Makes the exchange of each request. @defaultValue makes an `Exchange` */
  readonly newExchange?: () => Exchange;
  /** Milliseconds without a byte after which a request emits 'timeout', unless it says otherwise. 0 is never. @defaultValue 0 */
  readonly timeoutMs?: number;
  /**
   * Carries requests as text of HTTP/1 to this package's own parser, instead of taking them from Node's objects. Slower, but
   * independent of Node's internals. Without this option it is done only where a probe finds that these aren't as expected.
   * @defaultValue false
   */
  readonly asText?: boolean;
}

/** The options that Node's ClientRequest hands to its agent, as far as they are used. */
interface AddRequestOptions {
  readonly host?: string;
  readonly port?: number | string;
  readonly socketPath?: string;
}

/** The methods of `http.Agent` that Node calls, which aren't in its types. */
interface AgentInternals {
  addRequest(req: RequestInternals, options: AddRequestOptions): void;
}

/**
 * An `http.Agent` whose requests go to a service: for `node:http`, `node:https` and everything built on them (axios, got,
 * node-fetch, superagent). Requests and responses are Node's own objects. It opens no sockets, so that `maxSockets`,
 * `createConnection` and the TLS options of a request don't apply; a request to a unix socket (`socketPath`) goes there as
 * without this agent.
 *
 * `req.socket` stands for the request alone: destroying it ends this request only. A failure before the response is the
 * 'error' of the request, as an `ExchangeError`; in the response it is `aborted`, as in Node. A buffer that was written must not be
 * changed afterwards.
 */
export class ServiceAgent extends Agent {
  readonly defaultPort: number;
  readonly protocol: "http:" | "https:";
  readonly #settings: SeamSettings | null;
  readonly #service: Service;
  readonly #newExchange: () => Exchange;
  readonly #active = new ActiveCalls();
  readonly #timeoutMs: number;

  constructor(service: Service, options: ServiceAgentOptions = {}) {
    super({ keepAlive: true, timeout: options.timeoutMs } as AgentOptions);
    this.protocol = options.protocol ?? "http:";
    this.defaultPort = this.protocol === "https:" ? 443 : 80;
    this.#timeoutMs = options.timeoutMs ?? 0;
    this.#service = service;
    this.#newExchange = options.newExchange ?? newExchange;
    const symbols = options.asText === true ? null : seamSymbols();
    this.#settings =
      symbols === null
        ? null
        : { service, newExchange: this.#newExchange, names: new HeaderNames(), active: this.#active, symbols };
  }

  /** Called by Node for each request, inside its constructor. */
  addRequest(req: RequestInternals, options: AddRequestOptions): void {
    if (this.#settings === null || options.socketPath) {
      (Agent.prototype as unknown as AgentInternals).addRequest.call(this, req, options);
      return;
    }
    const target = {
      scheme: this.protocol === "https:" ? "https" : "http",
      host: options.host ?? "localhost",
      port: Number(options.port ?? this.defaultPort),
      timeoutMs: req.timeout ?? this.#timeoutMs,
    } as const;
    new RequestSeam(this.#settings, target, req);
  }

  /** Called by Node's own `addRequest`. */
  override createConnection(options: AddRequestOptions): Duplex {
    // A path here is that of a unix socket.
    if (options.socketPath) return connect({ path: options.socketPath });
    return connectAsText(this.#service, this.protocol === "https:" ? "https" : "http", this.#newExchange);
  }

  /** Aborts the requests in flight. The agent goes on to take new ones, as Node's do. */
  override destroy(): void {
    this.#active.abortAll(Object.assign(new Error("the agent was destroyed"), { code: "ECONNRESET" }));
    super.destroy();
  }
}

function newExchange(): Exchange {
  return new Exchange();
}
