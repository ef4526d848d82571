import { maxHeaderSize, type Server } from "node:http";
import type { Clock } from "../../clock.js";
import type { Connection, Exchange, HeaderList, Service, Sink } from "../../exchange.js";
import { AppStream } from "./app-stream.js";
import type { AppStreamHost } from "./app-stream-host.js";
import { DeadlineList } from "./deadline-list.js";
import { rethrow } from "./message-close.js";
import { MessageFactory } from "./message-factory.js";
import type { NodeRequest, NodeResponse } from "./node-internals.js";
import { RequestHead } from "./request-head.js";

const continueExpected = /(?:^|\W)100-continue(?:$|\W)/i;
const noContent: HeaderList = Object.freeze(["content-length", "0"]);
const inactivityGranularityMs = 10;
const requestGranularityMs = 1000;

/** Options of `http.Server` that the types of this Node don't all have. */
interface ServerOptions {
  requireHostHeader?: boolean;
  maxHeaderSize?: number;
  insecureHTTPParser?: boolean;
  httpValidation?: string;
}

/** Exchanges as genuine request and response objects, without sockets or text between. */
export class ObjectExit implements Service, AppStreamHost {
  readonly server: Server;
  readonly announced: boolean;
  readonly strictValues: boolean;
  readonly headerNames = new Map<string, string>();
  readonly inactivity: DeadlineList;
  readonly unfinishedRequests: DeadlineList;
  private readonly clock: Clock;
  private readonly factory: MessageFactory;
  private readonly served = new WeakMap<Connection, number>();
  private running = 0;

  /** @param announced - whether diagnostics channels hear of the exchanges */
  constructor(server: Server, clock: Clock, announced = true) {
    this.server = server;
    this.announced = announced;
    this.clock = clock;
    this.factory = new MessageFactory(server);
    this.inactivity = new DeadlineList(clock, inactivityGranularityMs);
    this.unfinishedRequests = new DeadlineList(clock, requestGranularityMs);
    this.strictValues = isLenient(server);
  }

  /** Requests whose response hasn't ended. */
  get active(): number {
    return this.running;
  }

  call(x: Exchange, sink: Sink): void {
    const server = this.server as Server & ServerOptions;
    const head = new RequestHead(x);
    if (head.size > (server.maxHeaderSize || maxHeaderSize)) {
      refuse(x, sink, 431);
      return;
    }
    if (!head.hasHost && x.version === "1.1" && server.requireHostHeader !== false) {
      refuse(x, sink, 400);
      return;
    }
    const mostRequests = server.maxRequestsPerSocket;
    if (mostRequests !== null && mostRequests > 0 && x.connection !== null) this.count(x.connection, mostRequests);
    let stream: AppStream;
    try {
      stream = new AppStream(this, x, head, sink);
    } catch (error) {
      // A class that the application gave to createServer has thrown.
      process.nextTick(rethrow, error);
      refuse(x, sink, 500);
      return;
    }
    this.running++;
    stream.start();
    this.factory.observe(stream.req, stream.res);
  }

  now(): number {
    return this.clock.now();
  }

  makeRequest(x: Exchange, head: RequestHead, socket: object): NodeRequest {
    return this.factory.makeRequest(x, head, socket);
  }

  makeResponse(req: NodeRequest): NodeResponse {
    return this.factory.makeResponse(req);
  }

  emitRequest(req: NodeRequest, res: NodeResponse, expect: string | null): void {
    const server = this.server;
    if (expect !== null && req.httpVersionMinor === 1) {
      if (!continueExpected.test(expect)) {
        if (server.listenerCount("checkExpectation") > 0) server.emit("checkExpectation", req, res as never);
        else answer(res, 417);
        return;
      }
      res._expect_continue = true;
      if (server.listenerCount("checkContinue") > 0) {
        server.emit("checkContinue", req, res as never);
        return;
      }
      res.writeContinue();
    }
    // Without a listener node:http would let the client wait for ever.
    if (!server.emit("request", req, res as never)) answer(res, 503);
  }

  onStreamEnd(): void {
    this.running--;
  }

  /** `server.maxRequestsPerSocket`: the last one asks the connection to end. */
  private count(connection: Connection, most: number): void {
    const count = (this.served.get(connection) ?? 0) + 1;
    this.served.set(connection, count);
    if (count === most) connection.drain();
  }
}

function answer(res: NodeResponse, status: number): void {
  res.writeHead(status);
  res.end();
}

/** Answers without asking the application, as Node's parser does. */
function refuse(x: Exchange, sink: Sink, status: number): void {
  x.body?.cancel();
  sink.onHead(status, noContent);
  sink.onEnd(null);
}

/** Whether Node would let header values pass that no other HTTP implementation accepts. Ours are checked all the same. */
function isLenient(server: Server & ServerOptions): boolean {
  return (
    server.insecureHTTPParser === true ||
    (server.httpValidation !== undefined && server.httpValidation !== "strict") ||
    process.execArgv.includes("--insecure-http-parser") ||
    (process.env["NODE_OPTIONS"] ?? "").includes("--insecure-http-parser")
  );
}
