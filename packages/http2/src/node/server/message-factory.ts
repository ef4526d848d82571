import { IncomingMessage, type Server, ServerResponse } from "node:http";
import { getDefaultHighWaterMark } from "node:stream";
import type { Exchange } from "../../exchange.js";
import {
  type NodeRequest,
  type NodeResponse,
  type RequestClass,
  type ResponseClass,
  type ResponseOptions,
  requestClassKey,
  responseClassKey,
  uniqueHeadersKey,
} from "./node-internals.js";
import type { RequestHead } from "./request-head.js";

/** From V8 12 on an exchange of prototypes is cheap, and subclasses made this way are slower. */
const worthLearning = Number.parseInt(process.versions.node, 10) < 24;
const longestLesson = 64;
/** Names and values of as many headers as Node's parser keeps by default. */
const defaultMostLines = 2000;

interface AppWithPrototypes {
  request?: unknown;
  response?: unknown;
}

/**
 * Makes the request and response objects of one server, of the classes that `createServer` was given.
 *
 * Express gives each request and response the prototypes that its app carries. On Node 20 and 22 this costs 10 to 30 µs a
 * request, unless the objects are born with them: so they are, once an app has been seen to do it.
 */
export class MessageFactory {
  private readonly server: Server;
  private readonly responseOptions: ResponseOptions;
  private Request: RequestClass;
  private Response: ResponseClass;
  /** Requests after which we stop looking whether the app exchanges prototypes. */
  private lessons: number;

  constructor(server: Server) {
    this.server = server;
    const classes = server as unknown as Record<symbol, unknown>;
    this.Request =
      (classes[requestClassKey] as RequestClass | undefined) ?? (IncomingMessage as unknown as RequestClass);
    this.Response =
      (classes[responseClassKey] as ResponseClass | undefined) ?? (ServerResponse as unknown as ResponseClass);
    const plain = (this.Request as unknown) === IncomingMessage && (this.Response as unknown) === ServerResponse;
    this.lessons = worthLearning && plain ? longestLesson : 0;
    this.responseOptions = { highWaterMark: getDefaultHighWaterMark(false), rejectNonStandardBodyWrites: false };
  }

  makeRequest(x: Exchange, head: RequestHead, socket: object): NodeRequest {
    const req = new this.Request(socket);
    const server = this.server as Server & { joinDuplicateHeaders?: boolean };
    if (server.joinDuplicateHeaders !== undefined) req.joinDuplicateHeaders = server.joinDuplicateHeaders;
    const http10 = x.version === "1.0";
    req.httpVersionMajor = 1;
    req.httpVersionMinor = http10 ? 0 : 1;
    // "2.0" would make Node's own response an HTTP/1.0 one.
    req.httpVersion = http10 ? "1.0" : "1.1";
    req.method = x.method;
    req.url = x.absoluteForm ? `${x.scheme}://${x.authority}${x.path}` : x.path;
    req.upgrade = false;
    const limit = server.maxHeadersCount;
    const length = head.lines.length;
    const most = typeof limit === "number" ? limit * 2 : defaultMostLines;
    req._addHeaderLines(head.lines, most > 0 && length > most ? most : length);
    return req;
  }

  makeResponse(req: NodeRequest): NodeResponse {
    const server = this.server as Server & { rejectNonStandardBodyWrites?: boolean } & Record<symbol, unknown>;
    this.responseOptions.rejectNonStandardBodyWrites = server.rejectNonStandardBodyWrites ?? false;
    const res = new this.Response(req, this.responseOptions);
    const unique = server[uniqueHeadersKey];
    if (unique !== null && unique !== undefined) (res as unknown as Record<symbol, unknown>)[uniqueHeadersKey] = unique;
    return res;
  }

  /** To be called after each dispatch: looks what the app made of the objects. */
  observe(req: NodeRequest, res: NodeResponse): void {
    if (this.lessons === 0) return;
    this.lessons--;
    const request = Object.getPrototypeOf(req);
    const response = Object.getPrototypeOf(res);
    if (request === IncomingMessage.prototype || response === ServerResponse.prototype) return;
    for (const listener of this.server.listeners("request")) {
      // A mounted app may be at work just now: only the prototypes of the listener itself come with every request.
      const app = listener as AppWithPrototypes;
      if (app.request !== request || app.response !== response) continue;
      if (!(request instanceof IncomingMessage) || !(response instanceof ServerResponse)) continue;
      this.lessons = 0;
      this.learn(request, response);
      return;
    }
  }

  private learn(request: object, response: object): void {
    const Request = bornAs(IncomingMessage as unknown as Constructor, request);
    const Response = bornAs(ServerResponse as unknown as Constructor, response);
    try {
      new (Response as unknown as ResponseClass)(
        new (Request as unknown as RequestClass)({ readableHighWaterMark: 1 }),
        this.responseOptions,
      );
    } catch {
      // Classes that can't be called without new: the plain ones do.
      return;
    }
    this.Request = Request as unknown as RequestClass;
    this.Response = Response as unknown as ResponseClass;
  }
}

interface Constructor {
  call(self: object, ...args: unknown[]): void;
}

/** `Reflect.construct` with another new.target would do the same, and is 80 times slower on Node 20. */
function bornAs(parent: Constructor, prototype: object): Constructor {
  function Born(this: object, first: unknown, second: unknown): void {
    parent.call(this, first, second);
  }
  Born.prototype = prototype;
  return Born;
}
